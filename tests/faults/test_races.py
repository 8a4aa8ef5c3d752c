"""Two commands on one store, and a task of an array twice: no shard is torn."""

import subprocess

from support.programs import content, end, finished, masks, run, start


def test_two_commands_at_once_make_one_store(photographs, undisturbed, tmp_path):
    store = tmp_path / "store"
    for process in [start(*masks(photographs, store)) for _ in range(2)]:
        end(process)
    assert content(store) == undisturbed


def test_the_same_task_twice_makes_its_share_once(photographs, undisturbed, tmp_path):
    store = tmp_path / "store"
    first = [
        start(*masks(photographs, store, "--num-tasks", 2, "--task-id", task)) for task in (0, 0, 1)
    ]
    for process in first:
        end(process)
    assert content(store) == undisturbed


def test_of_two_stores_begun_in_one_folder_one_is_made_and_one_refused(photographs, tmp_path):
    store = tmp_path / "store"
    processes = [
        start(*masks(photographs, store, "--method", method)) for method in ("light", "slow")
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 3]
    refused = next(words for words, p in zip(said, processes, strict=True) if p.returncode)
    assert "a store is never changed: use its settings, or give a new folder" in refused
    finished("verify", store)


def test_a_command_while_another_writes_sweeps_nothing_of_it(photographs, undisturbed, tmp_path):
    store = tmp_path / "store"
    process = start(*masks(photographs, store))
    while True:
        try:
            process.wait(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            if store.exists():
                run(*masks(photographs, store, "--plan-only"))
    end(process)
    assert content(store) == undisturbed
