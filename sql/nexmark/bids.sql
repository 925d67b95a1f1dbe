-- The queries of Nexmark that have a window and read one stream, as features; the stateless ones
-- are computed columns of the source (README.md says which query is where, and which are left out).
CREATE SOURCE bid (
    auction    BIGINT NOT NULL,
    bidder     BIGINT NOT NULL,
    price      BIGINT NOT NULL,
    channel    VARCHAR,
    url        VARCHAR,
    date_time  TIMESTAMP NOT NULL,
    price_eur  DOUBLE  AS (0.908 * price),
    minute     BIGINT  AS (minute_of_day(date_time)),
    time_kind  VARCHAR AS (CASE WHEN hour_of_day(date_time) BETWEEN 8 AND 18 THEN 'dayTime'
                                WHEN hour_of_day(date_time) <= 6 OR hour_of_day(date_time) >= 20
                                THEN 'nightTime' ELSE 'otherTime' END),
    channel_id VARCHAR AS (CASE WHEN lower(channel) = 'apple' THEN '0'
                                WHEN lower(channel) = 'google' THEN '1'
                                WHEN lower(channel) = 'facebook' THEN '2'
                                WHEN lower(channel) = 'baidu' THEN '3'
                                ELSE regexp_match(url, '(&|^)channel_id=([^&]*)')[2] END),
    dir1       VARCHAR AS (split_part(url, '/', 4)),
    dir2       VARCHAR AS (split_part(url, '/', 5)),
    dir3       VARCHAR AS (split_part(url, '/', 6)),
    WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds'
) WITH (
    'connector' = 'kafka',
    'topic' = '${NEXMARK_BIDS_TOPIC:-nexmark_bids}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

-- Hot items: the auction with the most bids of the last ten seconds, every two seconds. Of auctions
-- with equally many bids the one with the smallest number.
CREATE FEATURE q5 AS
SELECT topn_frequency(auction, 1) AS auction, CAST(round(top1_ratio(auction) * COUNT(*)) AS BIGINT) AS num,
       window_start, window_end
FROM HOP(bid, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds')
GROUP BY window_start, window_end;

-- The highest bid of every ten seconds, with who made it first.
CREATE FEATURE q7 AS
SELECT arg_max(auction, price) AS auction, arg_max(bidder, price) AS bidder, MAX(price) AS price,
       arg_max(date_time, price) AS bid_time, window_start, window_end
FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
GROUP BY window_start, window_end;

-- Bids of a user while they are active: ten seconds without a bid end a session.
CREATE FEATURE q11 AS
SELECT bidder, COUNT(*) AS bid_count, window_start, window_end
FROM SESSION(bid, date_time, INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end;

-- Bids of a user in windows of ten seconds. The original counts by the clock of the machine, which
-- no replay could repeat; here it is event time.
CREATE FEATURE q12 AS
SELECT bidder, COUNT(*) AS bid_count, window_start, window_end
FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end;

-- Bidding statistics of a day.
CREATE FEATURE q15 AS
SELECT COUNT(*)                                                                   AS total_bids,
       COUNT(*) FILTER (WHERE price < 10000)                                      AS rank1_bids,
       COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000)                 AS rank2_bids,
       COUNT(*) FILTER (WHERE price >= 1000000)                                   AS rank3_bids,
       COUNT(DISTINCT bidder)                                                     AS total_bidders,
       COUNT(DISTINCT bidder) FILTER (WHERE price < 10000)                        AS rank1_bidders,
       COUNT(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000)   AS rank2_bidders,
       COUNT(DISTINCT bidder) FILTER (WHERE price >= 1000000)                     AS rank3_bidders,
       COUNT(DISTINCT auction)                                                    AS total_auctions,
       COUNT(DISTINCT auction) FILTER (WHERE price < 10000)                       AS rank1_auctions,
       COUNT(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000)  AS rank2_auctions,
       COUNT(DISTINCT auction) FILTER (WHERE price >= 1000000)                    AS rank3_auctions
FROM TUMBLE(bid, date_time, INTERVAL '1 day')
GROUP BY window_start, window_end;

-- The same for each channel.
CREATE FEATURE q16 AS
SELECT channel,
       MAX(minute)                                                                AS last_minute,
       COUNT(*)                                                                   AS total_bids,
       COUNT(*) FILTER (WHERE price < 10000)                                      AS rank1_bids,
       COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000)                 AS rank2_bids,
       COUNT(*) FILTER (WHERE price >= 1000000)                                   AS rank3_bids,
       COUNT(DISTINCT bidder)                                                     AS total_bidders,
       COUNT(DISTINCT bidder) FILTER (WHERE price < 10000)                        AS rank1_bidders,
       COUNT(DISTINCT auction)                                                    AS total_auctions,
       COUNT(DISTINCT auction) FILTER (WHERE price >= 1000000)                    AS rank3_auctions
FROM TUMBLE(bid, date_time, INTERVAL '1 day')
GROUP BY channel, window_start, window_end;

-- Statistics of an auction on a day.
CREATE FEATURE q17 AS
SELECT auction,
       COUNT(*)                                                     AS total_bids,
       COUNT(*) FILTER (WHERE price < 10000)                        AS rank1_bids,
       COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000)   AS rank2_bids,
       COUNT(*) FILTER (WHERE price >= 1000000)                     AS rank3_bids,
       MIN(price)                                                   AS min_price,
       MAX(price)                                                   AS max_price,
       AVG(price)                                                   AS avg_price,
       SUM(price)                                                   AS sum_price
FROM TUMBLE(bid, date_time, INTERVAL '1 day')
GROUP BY auction, window_start, window_end;

-- The last bid of a bidder for an auction: the current value.
CREATE FEATURE q18 AS
SELECT bidder, auction, price, channel, url,
       ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY date_time) AS bids
FROM bid;

-- The ten highest prices bid for an auction so far.
CREATE FEATURE q19 AS
SELECT auction, top(price, 10) OVER (PARTITION BY auction ORDER BY date_time) AS prices
FROM bid;
