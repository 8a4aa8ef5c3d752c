"""Where torch.compile keeps what it made; steps themselves are tested with the loops."""

from dilo.pipeline.common.compiled import Cache
from dilo.train.engine import trainer


def test_kernels_are_kept_where_only_this_user_can_have_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that what is set below is undone
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(trainer, "CACHE", Cache(tmp_path))
    trainer.keep_kernels()
    assert trainer.os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "torchinductor")


def test_a_folder_for_kernels_that_the_user_named_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    monkeypatch.setattr(trainer, "CACHE", Cache(tmp_path))
    trainer.keep_kernels()
    assert trainer.os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/elsewhere"
