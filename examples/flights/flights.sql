-- Every flight out of New York in 2013, in the order in which the departures were observed: a
-- flight that left five hours late stands five hours after flights that were scheduled with it.
-- Event time is the scheduled departure. Of 336,776 flights 194 were observed more than six hours
-- behind the newest one: they are late and become dead letters.
CREATE SOURCE flights (
    flight_id   BIGINT NOT NULL,
    event_time  TIMESTAMP NOT NULL,
    observed_at TIMESTAMP,
    carrier     VARCHAR NOT NULL,
    tailnum     VARCHAR,
    origin      VARCHAR NOT NULL,
    dest        VARCHAR NOT NULL,
    dep_delay   DOUBLE,
    arr_delay   DOUBLE,
    cancelled   BOOLEAN NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '6 hours'
) WITH (
    'connector' = 'file',
    'path' = '${FLIGHTS:-examples/flights/flights.parquet}',
    'format' = 'parquet'
);

-- How late a carrier has been lately, at every departure.
CREATE FEATURE carrier_delays AS
SELECT carrier,
       flight_id,
       COUNT(*)               OVER w3h  AS flights_3h,
       AVG(dep_delay)         OVER w3h  AS avg_delay_3h,
       STDDEV_SAMP(dep_delay) OVER w3h  AS stddev_delay_3h,
       AVG(dep_delay)         OVER w24h AS avg_delay_24h,
       STDDEV_SAMP(dep_delay) OVER w24h AS stddev_delay_24h,
       AVG(dep_delay)         OVER w10  AS avg_delay_last_10,
       STDDEV_SAMP(dep_delay) OVER w10  AS stddev_delay_last_10
FROM flights
WINDOW w3h  AS (PARTITION BY carrier ORDER BY event_time
                RANGE BETWEEN INTERVAL '3' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY carrier ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY carrier ORDER BY event_time, flight_id
                ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);

-- The same per aircraft. Flights whose aircraft is unknown are one entity without a name: they
-- are in the final rows, never online.
CREATE FEATURE aircraft_delays AS
SELECT tailnum,
       flight_id,
       COUNT(*)               OVER w3h  AS flights_3h,
       AVG(dep_delay)         OVER w3h  AS avg_delay_3h,
       STDDEV_SAMP(dep_delay) OVER w3h  AS stddev_delay_3h,
       AVG(dep_delay)         OVER w24h AS avg_delay_24h,
       STDDEV_SAMP(dep_delay) OVER w24h AS stddev_delay_24h,
       AVG(dep_delay)         OVER w10  AS avg_delay_last_10,
       STDDEV_SAMP(dep_delay) OVER w10  AS stddev_delay_last_10
FROM flights
WINDOW w3h  AS (PARTITION BY tailnum ORDER BY event_time
                RANGE BETWEEN INTERVAL '3' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY tailnum ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY tailnum ORDER BY event_time, flight_id
                ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);

-- Cancellations of each carrier in each hour.
CREATE FEATURE carrier_cancellations AS
SELECT carrier,
       COUNT(*)                          AS flights,
       COUNT(*) FILTER (WHERE cancelled) AS cancelled
FROM TUMBLE(flights, event_time, INTERVAL '1 hour')
GROUP BY carrier, window_start, window_end;

-- The last hour of each airport, anew every ten minutes.
CREATE FEATURE airport_hour AS
SELECT origin,
       COUNT(*)               AS flights,
       COUNT(DISTINCT dest)   AS destinations,
       AVG(dep_delay)         AS avg_delay,
       STDDEV_SAMP(dep_delay) AS stddev_delay,
       MAX(dep_delay)         AS max_delay
FROM HOP(flights, event_time, INTERVAL '10 minutes', INTERVAL '1 hour')
GROUP BY origin, window_start, window_end;
