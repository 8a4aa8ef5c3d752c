"""What a file is that is no checkpoint, told by its first bytes, and what to do about it."""

#: How files begin that are taken for checkpoints now and then.
_BEGINNINGS = (
    (b"\x1f\x8b", "a file packed by gzip"),
    (b"BZh", "a file packed by bzip2"),
    (b"\xfd7zXZ\x00", "a file packed by xz"),
    (b"\x28\xb5\x2f\xfd", "a file packed by zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89HDF\r\n\x1a\n", "a file of HDF5"),
    (b"\x93NUMPY", "a numpy array (.npy)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
)
_PACKED = ("packed", "archive")
_PAGES = ("<!doctype", "<html", "<head", "<?xml", "<body")
_AGAIN = "copy it again, or take another checkpoint"
_UNPACK = "unpack it, and give the file inside"
_DOWNLOAD = "download it again, by a link to the file itself"
_SHOWN = 40


def kind_of(start: bytes) -> tuple[str, str]:
    """Describe a file that is no checkpoint of torch, and what to do about it."""
    if not start:
        return "an empty file", _AGAIN
    for beginning, name in _BEGINNINGS:
        if start.startswith(beginning):
            packed = any(word in name for word in _PACKED)
            return name, _UNPACK if packed else "give a checkpoint"
    if start[257:262] == b"ustar":
        return "a tar archive", f"{_UNPACK}; one of torch before 0.2 must be saved again by torch"
    if start[8:9] == b"{" and start[4:8] == bytes(4):
        return (
            "a file of safetensors",
            "dilo-eval and --init read those; elsewhere give one of torch.save",
        )
    if start[:1] == b"\x80" and start[1:2] and start[1] <= 5:
        return "a pickle that torch.save did not write", _AGAIN
    text = _text(start)
    return _kind_of_text(text) if text.strip() else ("bytes of another kind", _AGAIN)


def kind_of_archive(names: list[str]) -> tuple[str, str]:
    """Describe a zip archive that torch.save did not write, and what to do about it."""
    if any(name.endswith("/constants.pkl") for name in names):
        return (
            "a program of TorchScript",
            "save its weights alone, torch.save(torch.jit.load(FILE).state_dict(), OUT)",
        )
    if names and all(name.endswith(".npy") for name in names):
        return "numpy arrays (.npz)", "give a checkpoint"
    first = names[0] if names and names[0].isprintable() else ""
    holding = f", which begins with {first[:_SHOWN]!r}" if first else ""
    return f"a zip archive of something else{holding}", _UNPACK


def _kind_of_text(text: str) -> tuple[str, str]:
    """Describe a file of text, and what to do about it."""
    line = text.strip().partition("\n")[0].strip()
    if line.startswith("version https://git-lfs"):
        return "a pointer of git-lfs, not the file itself", "fetch it with git lfs pull"
    if text.lstrip().lower().startswith(_PAGES):
        return "a page of HTML or XML, as a link to a download gives it", _DOWNLOAD
    if line.startswith(("{", "[")):
        return "text, as JSON is", _AGAIN
    beginning = f"{line[:_SHOWN]}..." if len(line) > _SHOWN else line
    return f"text that begins with {beginning!r}", _AGAIN


def _text(start: bytes) -> str:
    """Read bytes as text; empty where they are none."""
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not a character that is cut at the end
            return ""
        text = start[: error.start].decode("utf-8-sig")
    return text if all(c.isprintable() or c.isspace() for c in text) else ""
