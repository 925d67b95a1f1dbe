//! Partitions, positions and admission: from raw records to admitted batches and dead letters.
