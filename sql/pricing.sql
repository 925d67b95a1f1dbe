-- Dynamic pricing: demand per area, every five minutes over the last fifteen. An area is a cell of
-- about five kilometres.
CREATE SOURCE ride_requests (
    rider_id   BIGINT NOT NULL,
    lat        DOUBLE,
    lon        DOUBLE,
    fare       DOUBLE,
    accepted   BOOLEAN,
    event_time TIMESTAMP NOT NULL,
    area       VARCHAR AS (geohash(lat, lon, 5)),
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH (
    'connector' = 'kafka',
    'topic' = '${RIDE_REQUESTS_TOPIC:-ride_requests}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

CREATE FEATURE area_demand
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'Requests, acceptance and fares of an area'
) AS
SELECT area,
       COUNT(*)                   AS requests,
       COUNT(DISTINCT rider_id)   AS riders,
       rate(1) * 60.0             AS requests_per_minute,
       count_if(accepted)         AS accepted,
       MEDIAN(fare)               AS median_fare,
       PERCENTILE_CONT(fare, 0.9) AS high_fare
FROM HOP(ride_requests, event_time, INTERVAL '5 minutes', INTERVAL '15 minutes')
GROUP BY area, window_start, window_end;
