"""Row groups of Parquet files to vectors with Dask, on this machine's processes or a cluster's: a part for each, once.

python with_dask.py SOURCE DESTINATION MODEL
"""

import sys

import dask

from stella_cpp import bulk


def main(source, destination, model, **options):
    embed = dask.delayed(bulk.embed_part)
    parts = [
        embed(file, row_group, destination, model=model, task="document", threads=1, name=name, **options)
        for file, row_group, _, name in bulk.row_groups(source)
    ]
    return sum(part.rows for part in dask.compute(*parts, scheduler="processes"))


if __name__ == "__main__":
    print(main(*sys.argv[1:]), "rows")
