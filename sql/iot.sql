-- Anomalies of sensors over a Kafka topic of readings: how far a reading is from what is usual.
CREATE SOURCE readings (
    sensor_id   BIGINT NOT NULL,
    temperature DOUBLE,
    event_time  TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH (
    'connector' = 'kafka',
    'topic' = '${READINGS_TOPIC:-readings}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

CREATE FEATURE sensor_anomaly
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'A reading against the last ten minutes and the last hour of its sensor'
) AS
SELECT sensor_id,
       AVG(temperature)         OVER w10m AS mean_10m,
       STDDEV_SAMP(temperature) OVER w10m AS stddev_10m,
       zscore(temperature, AVG(temperature) OVER w10m, STDDEV_SAMP(temperature) OVER w10m)
                                          AS zscore_10m,
       MEDIAN(temperature)      OVER w1h  AS median_1h,
       slope(temperature)       OVER w1h  AS slope_1h,
       delta(temperature)       OVER w1h  AS change
FROM readings
WHERE temperature IS NOT NULL
WINDOW w10m AS (PARTITION BY sensor_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY sensor_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
