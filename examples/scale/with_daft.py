"""Row groups of Parquet files to vectors with Daft: a part for each, once.

python with_daft.py SOURCE DESTINATION MODEL
"""

import sys

import daft

from stella_cpp import bulk


def main(source, destination, model, **options):
    @daft.func
    def embed(file: str, row_group: int, name: str) -> int:
        return bulk.embed_part(file, row_group, destination, model=model, task="document", name=name, **options).rows

    files, row_groups, _, names = zip(*bulk.row_groups(source))
    table = daft.from_pydict({"file": list(files), "row_group": list(row_groups), "name": list(names)})
    done = table.select(embed(table["file"], table["row_group"], table["name"]).alias("rows")).to_pydict()
    return sum(done["rows"])


if __name__ == "__main__":
    print(main(*sys.argv[1:]), "rows")
