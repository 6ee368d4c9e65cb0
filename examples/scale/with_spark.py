"""Row groups of Parquet files to vectors with a pandas UDF of Spark: a part for each, once, also where Spark tries a task again.

spark-submit with_spark.py SOURCE DESTINATION MODEL
"""

import sys

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

from stella_cpp import bulk


def main(source, destination, model, **options):
    spark = SparkSession.builder.getOrCreate()

    @pandas_udf("long")
    def embed(files: pd.Series, row_groups: pd.Series, names: pd.Series) -> pd.Series:
        return pd.Series(
            bulk.embed_part(file, int(row_group), destination, model=model, task="document", name=name, **options).rows
            for file, row_group, name in zip(files, row_groups, names)
        )

    rows = list(bulk.row_groups(source))
    table = spark.createDataFrame(rows, "file string, row_group int, rows long, name string").repartition(len(rows))
    done = table.select(embed("file", "row_group", "name").alias("rows")).collect()
    return sum(row["rows"] for row in done)


if __name__ == "__main__":
    print(main(*sys.argv[1:]), "rows")
