"""The feature as Feast knows it: names and types only. skewless computes it."""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

user_spend = FeatureView(
    name="user_spend",
    entities=[user],
    ttl=timedelta(0),
    schema=[
        Field(name="txn_count_30m", dtype=Int64),
        Field(name="avg_amount_1h", dtype=Float64),
        Field(name="max_amount_24h", dtype=Float64),
    ],
    # Training data: what `skewless training-set` and `skewless backfill` write.
    source=FileSource(path="user_spend.parquet", timestamp_field="event_time"),
)
