"""Row groups of Parquet files to vectors with Apache Beam: a part for each, once, also where a runner tries a bundle again.

python with_beam.py SOURCE DESTINATION MODEL [options of the runner]
"""

import sys

import apache_beam as beam

from stella_cpp import bulk


def embed(unit, destination, model, options):
    file, row_group, _, name = unit
    return bulk.embed_part(file, row_group, destination, model=model, task="document", name=name, **options).rows


def main(source, destination, model, *runner, **options):
    with beam.Pipeline(argv=list(runner)) as pipeline:
        units = pipeline | beam.Create(list(bulk.row_groups(source))) | beam.Reshuffle()
        units | beam.Map(embed, destination, model, options) | beam.CombineGlobally(sum) | beam.Map(print)


if __name__ == "__main__":
    main(*sys.argv[1:])
