-- Marketing over a Kafka topic of page views: what a visitor does in a session, and what a campaign
-- brings in a day of Paris.
CREATE SOURCE page_events (
    visitor_id BIGINT NOT NULL,
    campaign   VARCHAR,
    category   VARCHAR,
    kind       VARCHAR,
    revenue    DECIMAL(12, 2),
    event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH (
    'connector' = 'kafka',
    'topic' = '${PAGE_EVENTS_TOPIC:-page_events}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

CREATE FEATURE visitor_session
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'The last session of a visitor: thirty minutes without an event end it'
) AS
SELECT visitor_id,
       COUNT(*)                                AS events,
       COUNT(DISTINCT category)                AS categories,
       FIRST_VALUE(campaign) IGNORE NULLS      AS came_by,
       bool_or(kind = 'buy')                   AS bought,
       SUM(revenue)                            AS revenue,
       last_n(category, 3)                     AS last_categories,
       window_start,
       window_end
FROM SESSION(page_events, event_time, INTERVAL '30 minutes')
GROUP BY visitor_id, window_start, window_end;

CREATE FEATURE campaign_day
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'Visitors and sales of a campaign on a day of Paris'
) AS
SELECT campaign,
       COUNT(DISTINCT visitor_id)              AS visitors,
       count_if(kind = 'buy')                  AS sales,
       SUM(revenue)                            AS revenue,
       count_if(kind = 'buy') * 1.0 / COUNT(*) AS sales_per_event,
       window_start,
       window_end
FROM TUMBLE(page_events, event_time, INTERVAL '1 day', 'Europe/Paris')
WHERE campaign IS NOT NULL
GROUP BY campaign, window_start, window_end;

CREATE FEATURE campaign_trend
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'Events of a campaign per hour against the mean of its last day'
) AS
SELECT campaign,
       events,
       AVG(events)         OVER d AS mean_events,
       STDDEV_SAMP(events) OVER d AS stddev_events,
       zscore(events, AVG(events) OVER d, STDDEV_SAMP(events) OVER d) AS surge,
       window_end
FROM (SELECT campaign, COUNT(*) AS events, window_end
      FROM TUMBLE(page_events, event_time, INTERVAL '1 hour')
      WHERE campaign IS NOT NULL
      GROUP BY campaign, window_start, window_end) AS per_hour
WINDOW d AS (PARTITION BY campaign ORDER BY window_end
             RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW);
