"""A checkpoint with the code that transformers needs for it, as a folder of links."""
import json
import shutil
from pathlib import Path


def with_code(checkpoint, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for file in checkpoint.iterdir():
        if not (folder / file.name).exists() and file.name not in ("config.json", "tokenizer_config.json"):
            (folder / file.name).symlink_to(file.resolve())
    config = json.loads((checkpoint / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "new_model.NewConfig", "AutoModel": "new_model.NewModel"}
    (folder / "config.json").write_text(json.dumps(config))
    # The older transformers ask for the tokenizer's class, and have none for this architecture.
    tokenizer = json.loads((checkpoint / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    shutil.copy(Path(__file__).resolve().parent / "new_model.py", folder)
    return folder
