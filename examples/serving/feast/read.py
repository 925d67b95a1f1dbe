"""Reads online features with Feast's own client, from the skewless engine at SKEWLESS_URL.

    SKEWLESS_URL=http://127.0.0.1:6566 python read.py 42 43
"""

import os
import sys
import tempfile
from pathlib import Path

from feast import FeatureStore

from features import user, user_spend

# Feast keeps what it knows in a file: made anew here, so that nothing is left behind.
scratch = tempfile.TemporaryDirectory()
os.environ["SKEWLESS_FEAST_REGISTRY"] = str(Path(scratch.name) / "registry.db")

store = FeatureStore(repo_path=Path(__file__).parent)
store.apply([user, user_spend])
features = [f"user_spend:{field.name}" for field in user_spend.schema if field.name != "user_id"]
rows = [{"user_id": int(text)} for text in sys.argv[1:]]
found = store.get_online_features(features=features, entity_rows=rows).to_dict()
for name, values in found.items():
    print(name, *values)
