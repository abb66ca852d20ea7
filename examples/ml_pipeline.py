"""Which flights will be late? A table of the cluster feeds a pyspark.ml pipeline, and its answers go back.

    python examples/ml_pipeline.py [CLUSTER]     (after ./scripts/quickstart, which makes the table Flights)

The query keeps what the model needs, so that the cluster does the filtering and Spark gets seven columns.
"""

from __future__ import annotations

import os
import sys

# Spark starts its workers with the python3 of PATH unless told otherwise.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_kusto import connect, read_kusto, write_kusto

DATABASE = "NetDefaultDB"

FEATURES = """
    Flights
    | where isnotnull(arr_delay)
    | project month, sched_hour = sched_dep_time / 100, weekday = tolong(dayofweek(time_hour) / 1d),
              distance, carrier, origin, label = iff(arr_delay > 15, 1.0, 0.0)
"""

CALIBRATION = """
    LatePredictions
    | summarize flights = count(), late = avg(label) by expected = bin(probability, 0.1)
    | project expected, flights, late
    | where flights > 100
    | order by expected asc
"""


def main(cluster: str) -> float:
    """Train, test, write the predictions back; returns the area under the ROC curve."""
    spark = (
        SparkSession.builder.appName("late flights")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")

    flights = read_kusto(spark, cluster, DATABASE, FEATURES)
    training, test = flights.randomSplit([0.8, 0.2], seed=2013)
    categories = ["carrier", "origin", "month", "sched_hour", "weekday"]
    pipeline = Pipeline(
        stages=[
            StringIndexer(
                inputCols=categories,
                outputCols=[f"{name}_index" for name in categories],
                handleInvalid="keep",
            ),
            OneHotEncoder(
                inputCols=[f"{name}_index" for name in categories],
                outputCols=[f"{name}_vector" for name in categories],
            ),
            VectorAssembler(
                inputCols=[*(f"{name}_vector" for name in categories), "distance"], outputCol="features"
            ),
            LogisticRegression(maxIter=20),
        ]
    )
    predicted = pipeline.fit(training.cache()).transform(test)
    area = BinaryClassificationEvaluator().evaluate(predicted)

    write_kusto(
        predicted.select(
            "carrier",
            "origin",
            "label",
            vector_to_array(F.col("probability")).getItem(1).alias("probability"),
            F.current_timestamp().alias("predicted_at"),
        ),
        cluster,
        DATABASE,
        "LatePredictions",
        {"tableCreateOptions": "CreateIfNotExist"},
        mode="overwrite",
    )
    print(f"Area under the ROC curve: {area:.3f}")
    print("Of the flights given such a probability, so many were late (asked in KQL):")
    with connect(cluster) as opened:
        for expected, count, late in opened.query(DATABASE, CALIBRATION).rows:
            print(f"  {expected:.0%} to {expected + 0.1:.0%}: {late:5.1%} of {count:,}")
    spark.stop()
    return float(area)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "./kusto-data")
