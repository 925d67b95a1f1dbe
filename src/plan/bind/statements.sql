-- Statements over the source of `fixture.rs` and what planning them gives: key and time, output
-- columns, condition and notes, or the error with its place and hint. Compared by `tests.rs`.

SELECT user_id, COUNT(*) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT COUNT(*) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- Usage 1:8-1:28: the SELECT leaves out the entity key user_id: its rows could not be told apart
-- hint: write SELECT user_id, count(*) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time)

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) FROM transactions;
-- Usage 1:17-1:22: a column of a feature needs a name
-- hint: write … AS count_all

SELECT user_id, SUM(amount) + 1 FROM transactions;
-- NotSupported 1:17-1:27: not supported: an aggregate without a window: it would never be final
-- hint: add OVER (PARTITION BY key ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)

SELECT user_id, SUM(amount) AS s FROM transactions GROUP BY user_id;
-- NotSupported 1:61-1:68: not supported: GROUP BY without a window: its rows would never be final
-- hint: add TUMBLE(event_time, INTERVAL '1 hour') to the GROUP BY, or write SUM(x) OVER (PARTITION BY key ORDER BY event_time)

SELECT user_id, SUM(amount) AS s FROM transactions;
-- NotSupported 1:17-1:27: not supported: an aggregate without a window: it would never be final
-- hint: add OVER (PARTITION BY key ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)

SELECT user_id, amount FROM transactions;
-- NotSupported 1:1-1:41: not supported: a feature without a window
-- hint: for the newest value write LAST_VALUE(x) OVER (PARTITION BY key ORDER BY event_time)

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN CURRENT ROW AND INTERVAL '1' HOUR FOLLOWING) AS n FROM transactions;
-- NotSupported 1:17-1:22: not supported: a frame that looks ahead (INTERVAL '1' HOUR FOLLOWING): its rows have not arrived when the value is needed
-- hint: end the frame at CURRENT ROW

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '2' HOUR PRECEDING AND INTERVAL '1' HOUR PRECEDING) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (RANGE 2 hours TO 1 hour PRECEDING)
--   event_time TIMESTAMP = event_time

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS n FROM transactions;
-- NotSupported 1:17-1:22: not supported: a frame that looks ahead (UNBOUNDED FOLLOWING): its rows have not arrived when the value is needed
-- hint: end the frame at CURRENT ROW

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '1' MONTH PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- NotSupported 1:96-1:99: not supported: an interval in months: they have no fixed length
-- hint: use days or weeks

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN 5 PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- Usage 1:87-1:88: RANGE 5 PRECEDING: expected an interval
-- hint: write RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '-1' HOUR PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- NotSupported 1:17-1:22: not supported: a frame that looks ahead (INTERVAL '-1' HOUR PRECEDING): its rows have not arrived when the value is needed
-- hint: end the frame at CURRENT ROW

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '90 seconds' PRECEDING) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (RANGE 90 seconds)
--   event_time TIMESTAMP = event_time

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL 30 MINUTE PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (RANGE 30 minutes)
--   event_time TIMESTAMP = event_time

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '1 hour 30 minutes' PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (RANGE 90 minutes)
--   event_time TIMESTAMP = event_time

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time ROWS BETWEEN 9999999999 PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- NotSupported 1:86-1:96: not supported: a frame of 9999999999 rows PRECEDING: at most 1000000 rows fit
-- hint: use fewer rows, or a RANGE frame

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time ROWS 5 PRECEDING) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (ROWS 5 PRECEDING ORDER BY event_time)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: ROWS frames keep every key for ever

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time ROWS BETWEEN x PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- Usage 1:86-1:87: ROWS x PRECEDING: expected a number of rows

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM transactions;
-- NotSupported 1:17-1:22: not supported yet: GROUPS frames
-- hint: use ROWS or RANGE

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time DESC) AS n FROM transactions;
-- NotSupported 1:62-1:72: not supported: ORDER BY event_time DESC: such a frame would cover rows that have not arrived yet
-- hint: ORDER BY event_time

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY amount) AS n FROM transactions;
-- Usage 1:62-1:68: amount is not the event time of source transactions
-- hint: windows follow event_time, the column of its WATERMARK

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id) AS n FROM transactions;
-- NotSupported 1:17-1:22: not supported: OVER without ORDER BY: it would cover rows that have not arrived yet
-- hint: add ORDER BY event_time

SELECT user_id, COUNT(*) OVER () AS n FROM transactions;
-- NotSupported 1:17-1:22: not supported: OVER without ORDER BY: it would cover rows that have not arrived yet
-- hint: add ORDER BY event_time

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time, txn_id) AS n FROM transactions;
-- NotSupported 1:74-1:80: not supported: a RANGE frame ordered by more than event_time
-- hint: add ROWS BETWEEN … AND CURRENT ROW, or leave the other columns out

SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n, SUM(amount) OVER (PARTITION BY category ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:80-1:90: not supported: windows of one feature with different PARTITION BY: its rows belong to one entity
-- hint: give every OVER the same PARTITION BY, or write two features

SELECT user_id, LAG(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE = LAG(amount) OVER (ROWS 1 PRECEDING ORDER BY event_time)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: ROWS frames keep every key for ever

SELECT user_id, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT UNSIGNED = CAST(COUNT(*) OVER (ROWS UNBOUNDED ORDER BY event_time) AS BIGINT UNSIGNED)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, MEDIAN(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE = MEDIAN(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, ARRAY_AGG(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE[] = ARRAY_AGG(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, SUMM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:17-1:28: no such function: summ
-- hint: did you mean 'sum'?

SELECT user_id, UPER(category) AS c, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:17-1:30: no such function: uper
-- hint: did you mean 'upper'?

SELECT user_id, SUM(amout) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:21-1:26: no such column: amout
-- hint: did you mean 'amount'?

SELECT user_id, SUM(category) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:17-1:83: SUM takes numbers, not VARCHAR
-- hint: cast it: CAST(x AS DOUBLE)

SELECT user_id, SUM(event_time) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:17-1:85: SUM takes numbers, not TIMESTAMP
-- hint: use MIN or MAX, or SUM(EXTRACT(EPOCH FROM x))

SELECT user_id, SUM(amount, small) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:17-1:34: SUM takes one argument, not 2
-- hint: write sum(x)

SELECT user_id, COUNT(amount, small) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(((amount IS NOT NULL) AND (small IS NOT NULL)) OR (((amount IS NULL) OR (small IS NULL)) AND NULL)) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transaction;
-- Usage 1:87-1:98: no such source: transaction
-- hint: did you mean 'transactions'?

SELECT user_id, SUM(SUM(amount) OVER w) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- Usage 1:21-1:31: a window inside the argument of a window
-- hint: put the inner one into a sub-query: FROM (SELECT …, x OVER (…) AS y FROM …)

SELECT user_id, SUM(amount) OVER x AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- Usage 1:34-1:35: no such window: x
-- hint: define it: WINDOW w AS (PARTITION BY … ORDER BY …)

SELECT user_id, SUM(amount) OVER w AS n FROM transactions WHERE now() > event_time WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- NotSupported 1:65-1:68: not supported: now in a feature: its value changes with the time of evaluation, so a replay or a training set would give other values
-- hint: use the event time, event_time

SELECT user_id, SUM(amount * random()) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- NotSupported 1:30-1:36: not supported: random in a feature: its value changes with the time of evaluation, so a replay or a training set would give other values
-- hint: use the event time, event_time

SELECT user_id, CURRENT_DATE AS d, SUM(amount) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- NotSupported 1:17-1:29: not supported: current_date in a feature: its value changes with the time of evaluation, so a replay or a training set would give other values
-- hint: use the event time, event_time

SELECT user_id, SUM(amount) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time) ORDER BY n;
-- NotSupported 1:123-1:124: not supported: ORDER BY on a feature: its rows have no end to sort up to
-- hint: leave it out; order when you read

SELECT user_id, SUM(amount) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time) LIMIT 5;
-- NotSupported 1:1-1:121: not supported: LIMIT on a feature: every event gives its row
-- hint: leave it out; limit when you read

SELECT DISTINCT user_id, SUM(amount) OVER w AS n FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- NotSupported 1:1-1:76: not supported: SELECT DISTINCT on a feature: every event gives its row
-- hint: leave it out; COUNT(DISTINCT x) is supported

SELECT user_id, SUM(amount) AS s FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start HAVING SUM(amount) > 5;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT t.user_id, SUM(amount) OVER (PARTITION BY t.user_id ORDER BY event_time) AS n FROM transactions t JOIN transactions u ON t.user_id = u.user_id;
-- NotSupported 1:111-1:125: not supported yet: JOIN in a feature

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions UNION ALL SELECT user_id, 1 FROM transactions;
-- NotSupported 1:1-1:145: not supported yet: UNION in a feature
-- hint: write one feature per SELECT

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM (SELECT * FROM transactions);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

WITH t AS (SELECT * FROM transactions) SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM t;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions WHERE amount > (SELECT 1);
-- NotSupported 1:116-1:124: not supported yet: sub-queries in the expressions of a feature

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS _n FROM transactions;
-- Usage 1:17-1:82: column _n: names starting with _ are the engine's
-- hint: write _n AS n

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS date FROM transactions;
-- Usage 1:17-1:84: column date: final rows are stored in directories date=…, so no column can have this name
-- hint: write date AS day

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS "N" FROM transactions;
-- Usage 1:83-1:146: two columns are called "N"
-- hint: give one of them another name: … AS "N_2"

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:83-1:144: two columns are called n
-- hint: give one of them another name: … AS n_2

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS event_time FROM transactions;
-- Usage 1:17-1:90: two columns are called event_time
-- hint: give one of them another name: … AS event_time_2

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions WHERE category;
-- Usage 1:106-1:114: WHERE takes a condition that is true or false
-- hint: compare the value with something

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions WHERE SUM(amount) > 1;
-- NotSupported 1:106-1:116: not supported: an aggregate without a window: it would never be final
-- hint: add OVER (PARTITION BY key ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)

SELECT user_id, event_time - INTERVAL '1' DAY AS t, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   t TIMESTAMP = event_time - INTERVAL '1 days'
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: as of last event: t

SELECT user_id, event_time - event_time AS t, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- NotSupported 1:17-1:45: column t: not supported: a column cannot hold the difference of two times
-- hint: take a number, for example EXTRACT(EPOCH FROM a) - EXTRACT(EPOCH FROM b)

SELECT user_id, NULL AS t, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:17-1:26: column t: a NULL without a type
-- hint: give it one, for example CAST(NULL AS DOUBLE)

SELECT user_id, INTERVAL '1' DAY AS t, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- NotSupported 1:26-1:38: column t: not supported: a column of type Interval(MonthDayNano)
-- hint: columns are BOOLEAN, integers, REAL, DOUBLE, DECIMAL, VARCHAR, BYTEA, DATE, TIMESTAMP or arrays of these

SELECT user_id, date_trunc('hour', event_time) AS h, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   h TIMESTAMP = date_trunc('hour', event_time)
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: as of last event: h

SELECT user_id, date_bin(INTERVAL '15' MINUTE, event_time) AS h, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   h TIMESTAMP = CAST(date_bin(INTERVAL '15 minutes', CAST(event_time AS TIMESTAMP(9))) AS TIMESTAMP)
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: as of last event: h

SELECT *, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   txn_id BIGINT = txn_id
--   user_id BIGINT = user_id
--   category VARCHAR = category
--   amount DOUBLE = amount
--   event_time TIMESTAMP = event_time
--   small INT = small
--   ratio REAL = ratio
--   price DECIMAL(10, 2) = price
--   flag BOOLEAN = flag
--   Mixed Case BIGINT = "Mixed Case"
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: as of last event: txn_id, category, amount, small, ratio, price, flag, "Mixed Case"

SELECT upper(category) AS cat, SUM(amount) OVER (PARTITION BY upper(category) ORDER BY event_time) AS n FROM transactions;
-- key (cat) time Event("event_time")
--   cat VARCHAR = upper(category)
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT SUM(amount) OVER (PARTITION BY upper(category) ORDER BY event_time) AS n FROM transactions;
-- Usage 1:8-1:80: the SELECT leaves out the entity key upper(category): its rows could not be told apart
-- hint: write SELECT upper(category) AS key1, sum(amount) OVER (PARTITION BY upper(category) ORDER BY event_time) AS n FROM transactions

SELECT SUM(amount) OVER (ORDER BY event_time) AS n FROM transactions;
-- key () time Event("event_time")
--   n DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: no key: one global entity

SELECT user_id, category, COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, category, window_start, window_end;
-- key (user_id, category) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   category VARCHAR = category
--   n BIGINT = COUNT(*)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, COUNT(*) AS n FROM TUMBLE(transactions, amount, INTERVAL '1 hour') GROUP BY user_id, window_start, window_end;
-- Usage 1:57-1:63: amount is not the event time of source transactions
-- hint: windows follow event_time, the column of its WATERMARK

SELECT user_id, COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1 hour');
-- Usage 1:36-1:42: a window without GROUP BY
-- hint: GROUP BY the key columns, window_start, window_end

SELECT user_id, COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id;
-- Usage 1:97-1:104: GROUP BY leaves out the window
-- hint: add window_start, window_end to the GROUP BY

SELECT user_id, amount, COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- Usage 1:17-1:23: amount is neither grouped nor aggregated
-- hint: add it to the GROUP BY, or aggregate it: LAST_VALUE(x)

SELECT COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY window_start, user_id;
-- Usage 1:8-1:21: the SELECT leaves out the entity key user_id: its rows could not be told apart
-- hint: write SELECT user_id, count(*) AS n FROM tumble(transactions, event_time, INTERVAL '1' HOUR) GROUP BY user_id, window_start, window_end

SELECT user_id, COUNT(*) AS n FROM SESSION(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT window_start AS ws, user_id, LAST_VALUE(amount) AS l, FIRST_VALUE(category ORDER BY event_time) FILTER (WHERE flag) AS f FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- key (user_id) time Window { start: "ws", end: "window_end" }
--   ws TIMESTAMP = window_start
--   user_id BIGINT = user_id
--   l DOUBLE = LAST_VALUE(amount)
--   f VARCHAR = FIRST_VALUE(category) FILTER (WHERE flag)
--   window_end TIMESTAMP = window_end
-- note: warning: LAST_VALUE, FIRST_VALUE: events of equal event_time are ordered by their place in the log (partition, offset); an ORDER BY in the call decides instead

SELECT user_id, LAST_VALUE(amount ORDER BY txn_id) AS l FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   l DOUBLE = LAST_VALUE(amount ORDER BY txn_id)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, LAST_VALUE(amount) IGNORE NULLS OVER (PARTITION BY user_id ORDER BY event_time) AS l, FIRST_VALUE(amount) FILTER (WHERE flag) OVER (PARTITION BY user_id ORDER BY event_time ROWS 3 PRECEDING) AS f FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   l DOUBLE = LAST_VALUE(amount) IGNORE NULLS OVER (RANGE UNBOUNDED)
--   f DOUBLE = FIRST_VALUE(amount) FILTER (WHERE flag) OVER (ROWS 3 PRECEDING ORDER BY event_time)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, COUNT(DISTINCT category) FILTER (WHERE amount > 5) OVER w AS a, SUM(DISTINCT small) OVER w AS b, COUNT(user_id) OVER w AS c, COUNT(category) OVER w AS d, VAR_SAMP(ratio) OVER w AS e, STDDEV(price) OVER w AS f FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   a BIGINT = COUNT(DISTINCT CASE WHEN amount > 5.0 THEN category END) OVER (RANGE 1 day)
--   b BIGINT = SUM(DISTINCT CAST(small AS BIGINT)) OVER (RANGE 1 day)
--   c BIGINT = COUNT(*) OVER (RANGE 1 day)
--   d BIGINT = COUNT(category) OVER (RANGE 1 day)
--   e DOUBLE = VAR(CAST(ratio AS DOUBLE)) OVER (RANGE 1 day)
--   f DOUBLE = STDDEV(price) OVER (RANGE 1 day)
--   event_time TIMESTAMP = event_time

SELECT user_id, CASE WHEN small <> 0 THEN amount / small ELSE AVG(amount) OVER w END AS c, COUNT(*) OVER w > 3 AS many FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   c DOUBLE = CASE WHEN small != 0 THEN amount / CAST(small AS DOUBLE) ELSE AVG(amount) OVER (RANGE 1 day) END
--   many BOOLEAN = COUNT(*) OVER (RANGE 1 day) > 3
--   event_time TIMESTAMP = event_time
-- note: as of last event: c

SELECT user_id, SUM(small / 0) OVER w AS z, SUM(CAST('abc' AS INT)) OVER w AS y FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   z BIGINT = SUM(CAST(small AS BIGINT) / 0) OVER (RANGE UNBOUNDED)
--   y BIGINT = SUM(NULL) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: warning: a constant expression fails; it is NULL in every row

SELECT user_id, SUM(small) OVER w AS s, COALESCE(category, 'none') AS c, NULLIF(amount, 0) AS q FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s BIGINT = SUM(CAST(small AS BIGINT)) OVER (RANGE UNBOUNDED)
--   c VARCHAR = CASE WHEN category IS NOT NULL THEN category ELSE 'none' END
--   q DOUBLE = nullif(amount, 0.0)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: as of last event: c, q

SELECT user_id, SUM("Mixed Case") OVER w AS "Total Sum" FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   Total Sum BIGINT = SUM("Mixed Case") OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, SUM(Mixed Case) OVER w AS s FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- Usage 1:27-1:31: expected ), found CASE

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time EXCLUDE CURRENT ROW) AS s FROM transactions;
-- Usage 1:76-1:83: expected ROWS, RANGE, GROUPS, found exclude
-- hint: it stands behind a frame: RANGE UNBOUNDED PRECEDING EXCLUDE CURRENT ROW

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1 day' PRECEDING EXCLUDE CURRENT ROW) AS s FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount) OVER (RANGE 1 day EXCLUDE CURRENT ROW)
--   event_time TIMESTAMP = event_time
-- note: warning: EXCLUDE and MAXSIZE tell events of equal event_time apart by their place in the log (partition, offset)

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time ROWS BETWEEN 9 PRECEDING AND 2 PRECEDING) AS s FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount) OVER (ROWS 9 TO 2 PRECEDING ORDER BY event_time)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: ROWS frames keep every key for ever

SELECT user_id, AVG(amount) IGNORE NULLS OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:27: AVG takes no IGNORE NULLS or RESPECT NULLS: it skips NULLs

SELECT user_id, UPPER(category) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:31: UPPER is no aggregate: it takes no OVER

SELECT user_id, SUM(amount) OVER (PARTITION BY [user_id] ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:8-1:15: not supported: make_array(user_id) of type List(Int64) as a key
-- hint: keys are numbers, text, bytes, booleans, dates and timestamps

SELECT make_array(user_id) AS k, SUM(amount) OVER (PARTITION BY make_array(user_id) ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:8-1:32: not supported: make_array(user_id) of type List(Int64) as a key
-- hint: keys are numbers, text, bytes, booleans, dates and timestamps

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions GROUP BY ROLLUP(user_id);
-- NotSupported 1:116-1:123: not supported: ROLLUP, CUBE and GROUPING SETS: the rows of a feature have one key
-- hint: write one feature per grouping

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions TABLESAMPLE (10 PERCENT);
-- NotSupported 1:87-1:99: not supported: TABLESAMPLE
-- hint: filter by a hash of the key

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM public.transactions;
-- Usage 1:87-1:106: public.transactions: sources have no schema or catalog before the name

SELECT user_id, GROUPING(user_id) AS g, SUM(amount) AS s FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- NotSupported 1:17-1:33: not supported yet: GROUPING in a feature

SELECT user_id, category LIKE 'a%' AS l, category ~ '^a' AS r, amount BETWEEN 1 AND 2 AS b, small IN (1,2) AS i, SUM(amount) OVER w AS s FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   l BOOLEAN = category LIKE 'a%'
--   r BOOLEAN = category ~ '^a'
--   b BOOLEAN = (amount >= 1.0) AND (amount <= 2.0)
--   i BOOLEAN = (small = 1) OR (small = 2)
--   s DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever
-- note: as of last event: l, r, b, i

SELECT user_id, SUM(amount) OVER w AS s FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time), w AS (PARTITION BY user_id ORDER BY event_time);
-- Usage 1:115-1:116: two windows are called w

SELECT user_id, user_id + 1 AS next, window_end - window_start AS len, SUM(amount) AS s FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start, window_end;
-- NotSupported 1:38-1:70: column len: not supported: a column cannot hold the difference of two times
-- hint: take a number, for example EXTRACT(EPOCH FROM a) - EXTRACT(EPOCH FROM b)

SELECT user_id, user_id + 1 AS next, EXTRACT(hour FROM window_start) AS h, SUM(amount) AS s FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start, window_end;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   next BIGINT = user_id + 1
--   h INT = date_part('HOUR', window_start)
--   s DOUBLE = SUM(amount)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, COUNT() OVER w AS a, AVG(small * 2) OVER w AS b FROM transactions WHERE NOT flag OR category IN ('a', 'b') WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '15' MINUTE PRECEDING);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   a BIGINT = COUNT(*) OVER (RANGE 15 minutes)
--   b DOUBLE = AVG(CAST(small AS BIGINT) * 2) OVER (RANGE 15 minutes)
--   event_time TIMESTAMP = event_time
-- where (NOT flag) OR ((category = 'a') OR (category = 'b'))

SELECT t.user_id, SUM(t.amount) OVER (PARTITION BY t.user_id ORDER BY t.event_time) AS s FROM transactions AS t;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT transactions.user_id, SUM(transactions.amount) OVER (PARTITION BY transactions.user_id ORDER BY transactions.event_time) AS s FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT w.user_id, SUM(w.amount) AS s FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') AS w GROUP BY w.user_id, w.window_start, w.window_end;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, category, MAX(amount) OVER (PARTITION BY category, user_id ORDER BY event_time) AS s, MIN(amount) OVER (PARTITION BY user_id, category ORDER BY event_time) AS t FROM transactions;
-- key (user_id, category) time Event("event_time")
--   user_id BIGINT = user_id
--   category VARCHAR = category
--   s DOUBLE = MAX(amount) OVER (RANGE UNBOUNDED)
--   t DOUBLE = MIN(amount) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, event_time AS at, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- key (user_id) time Event("at")
--   user_id BIGINT = user_id
--   at TIMESTAMP = event_time
--   s DOUBLE = SUM(amount) OVER (RANGE UNBOUNDED)
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, SUM(amount) OVER w / COUNT(*) OVER w AS mean, round(AVG(amount) OVER w, 2) AS rounded FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   mean DOUBLE = SUM(amount) OVER (RANGE 1 day) / CAST(COUNT(*) OVER (RANGE 1 day) AS DOUBLE)
--   rounded DOUBLE = round(AVG(amount) OVER (RANGE 1 day), 2)
--   event_time TIMESTAMP = event_time

SELECT user_id, COUNT(*) AS n FROM HOP(transactions, event_time, INTERVAL '5 minutes', INTERVAL '1 hour', INTERVAL '1 minute') GROUP BY user_id, window_start, window_end;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, SUM(amount) / COUNT(*) AS mean, MAX(amount) - MIN(amount) AS spread FROM TUMBLE(transactions, event_time, INTERVAL '1 day') WHERE amount > 0 GROUP BY user_id, window_start, window_end;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   mean DOUBLE = SUM(amount) / CAST(COUNT(*) AS DOUBLE)
--   spread DOUBLE = MAX(amount) - MIN(amount)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end
-- where amount > 0.0

SELECT user_id, array_transform(make_array(amount), x -> x + 1) AS l, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:17-1:63: not supported yet: ARRAY_TRANSFORM in a feature

SELECT user_id, SUM(DISTINCT make_array(small)) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:101: SUM takes numbers, not INT[]
-- hint: name one value of it, for example x[1] or x.field

SELECT user_id, MAX(flag) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s BOOLEAN = MAX(flag) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, FIRST_VALUE(DISTINCT amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:44: DISTINCT has no meaning in FIRST_VALUE

SELECT user_id, SUM(amount ORDER BY txn_id) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:17-1:43: not supported: SUM(… ORDER BY txn_id)

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM HISTORY(transactions);
-- NotSupported 1:87-1:94: not supported yet: history(…) in the FROM of a feature

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions, transactions AS b;
-- NotSupported 1:87-1:99: not supported yet: several sources in FROM

SELECT SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s;
-- Usage: a feature needs FROM and a source

SELECT user_id, amount + category AS x, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:34: Cannot coerce arithmetic expression Float64 + Utf8 to valid types

SELECT user_id, amount[1] AS x, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:8-1:15: array_element does not support type Float64

SELECT user_id, substr(category) AS x, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:8-1:15: Substring without for/from is not valid

SELECT user_id, COUNT(*) OVER (w ROWS 5 PRECEDING) AS n, MAX(small) OVER y AS m FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time), x AS (w RANGE INTERVAL '1' HOUR PRECEDING), y AS x;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*) OVER (ROWS 5 PRECEDING ORDER BY event_time)
--   m INT = MAX(small) OVER (RANGE 1 hour)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: ROWS frames keep every key for ever

SELECT user_id, SUM(amount) OVER w AS s FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time) QUALIFY s > 5;
-- NotSupported 1:122-1:127: not supported yet: QUALIFY in a feature

SELECT user_id, COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1' MONTH) GROUP BY user_id, window_start;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   n BIGINT = COUNT(*)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM TUMBLE(transactions, event_time, INTERVAL '1 hour');
-- NotSupported 1:17-1:27: not supported yet: OVER in a feature with TUMBLE or HOP

SELECT user_id, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions EXCEPT SELECT user_id, 1 FROM transactions;
-- NotSupported 1:1-1:142: not supported: EXCEPT in a feature: whether a row belongs to it would change as rows arrive
-- hint: write the condition as a WHERE

SELECT user_id, @@version AS v, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:19: expected an expression, found @@

SELECT user_id, $1 AS v, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:17-1:19: not supported: a placeholder in a feature
-- hint: write the value

SELECT user_id, unnest(make_array(1)) AS v, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- NotSupported 1:17-1:36: not supported yet: UNNEST in a feature

SELECT user_id, _partition AS p, SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS s FROM transactions;
-- Usage 1:17-1:27: no such column: _partition
-- hint: there is: txn_id, user_id, category, amount, event_time, small, ratio, price, flag, Mixed Case

SELECT user_id, SUM(amount) OVER w AS s FROM transactions WHERE COUNT(*) OVER w > 1 WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- NotSupported 1:65-1:70: not supported: a window in WHERE: WHERE chooses the rows that windows see
-- hint: filter when you read the feature

SELECT user_id, SUM(amount) OVER w AS s FROM transactions WHERE amount > $1 WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- NotSupported 1:74-1:76: not supported: a placeholder in a feature
-- hint: write the value

SELECT user_id, SUM(amount) OVER w AS s FROM transactions WHERE event_time > '2024-01-01' AND category <> '' WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE CURRENT ROW);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount) OVER (RANGE 0 seconds)
--   event_time TIMESTAMP = event_time
-- where (event_time > TIMESTAMP '2024-01-01T00:00:00Z') AND (category != '')

SELECT user_id, SUM(amount) OVER w AS s FROM transactions WHERE event_time BETWEEN '2024-01-01' AND '2024-02-01T00:00:00.5+01:00' AND '2024-01-01 00:00:00.0000001' < event_time WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DOUBLE = SUM(amount) OVER (RANGE 1 day)
--   event_time TIMESTAMP = event_time
-- where (event_time >= TIMESTAMP '2024-01-01T00:00:00Z') AND (event_time <= TIMESTAMP '2024-01-31T23:00:00.500Z') AND (TIMESTAMP(9) '1704067200000000100' < CAST(event_time AS TIMESTAMP(9)))

SELECT user_id, SUM(price) OVER w AS s, AVG(price) OVER w AS a, SUM(small) OVER w AS i, AVG(small) OVER w AS b, MIN(category) OVER w AS c, VAR_POP(small) OVER w AS v FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   s DECIMAL(20, 2) = SUM(price) OVER (RANGE 1 day)
--   a DECIMAL(14, 6) = AVG(price) OVER (RANGE 1 day)
--   i BIGINT = SUM(CAST(small AS BIGINT)) OVER (RANGE 1 day)
--   b DOUBLE = AVG(CAST(small AS BIGINT)) OVER (RANGE 1 day)
--   c VARCHAR = MIN(category) OVER (RANGE 1 day)
--   v DOUBLE = VAR_POP(CAST(small AS BIGINT)) OVER (RANGE 1 day)
--   event_time TIMESTAMP = event_time

SELECT amount * 2 AS twice, COUNT(*) OVER (PARTITION BY amount * 2 ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING) AS n FROM transactions;
-- key (twice) time Event("event_time")
--   twice DOUBLE = amount * 2.0
--   n BIGINT = COUNT(*) OVER (RANGE 1 day)
--   event_time TIMESTAMP = event_time

SELECT user_id, amount * 2 AS twice, SUM(amount * 2) OVER (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING) AS s, 1 AS one FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   twice DOUBLE = amount * 2.0
--   s DOUBLE = SUM(amount * 2.0) OVER (RANGE 1 day)
--   one BIGINT = 1
--   event_time TIMESTAMP = event_time
-- note: as of last event: twice

SELECT user_id, LEAD(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- NotSupported 1:17-1:28: not supported: LEAD in a feature: it needs the rows that come after the current one
-- hint: ROW_NUMBER, RANK and LAG look back only

SELECT user_id, NTILE(4) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- NotSupported 1:17-1:24: not supported: NTILE in a feature: it needs the rows that come after the current one
-- hint: ROW_NUMBER, RANK and LAG look back only

SELECT user_id, RANK() OVER (PARTITION BY user_id ORDER BY event_time) AS r, DENSE_RANK() OVER (PARTITION BY user_id ORDER BY event_time) AS d FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   r BIGINT UNSIGNED = CAST((COUNT(*) OVER (RANGE UNBOUNDED) - COUNT(*) OVER (RANGE 0 seconds)) + 1 AS BIGINT UNSIGNED)
--   d BIGINT UNSIGNED = CAST(COUNT(DISTINCT event_time) OVER (RANGE UNBOUNDED) AS BIGINT UNSIGNED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, RANK() OVER (PARTITION BY user_id ORDER BY event_time, txn_id ROWS UNBOUNDED PRECEDING) AS r FROM transactions;
-- NotSupported 1:8-1:15: not supported yet: RANK ordered by more than the event time
-- hint: ROW_NUMBER() numbers rows in that order

SELECT user_id, ROW_NUMBER() AS r FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- Usage 1:17-1:27: ROW_NUMBER needs OVER (PARTITION BY … ORDER BY …)

SELECT user_id, LAG(amount, 3, 0) OVER (PARTITION BY user_id ORDER BY event_time, txn_id ROWS UNBOUNDED PRECEDING) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE = LAG(amount, 3, 0.0) OVER (ROWS 3 PRECEDING ORDER BY event_time, txn_id)
--   event_time TIMESTAMP = event_time
-- note: warning: ROWS frames keep every key for ever

SELECT user_id, LAG(amount, small) OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- Usage 1:8-1:15: LAG takes a constant there, not an expression
-- hint: write lag(x, n, default)

SELECT user_id, LAG(category, 1, 5.5) OVER (PARTITION BY user_id ORDER BY event_time) AS n, LAG(small, 1, 'x') OVER (PARTITION BY user_id ORDER BY event_time) AS m FROM transactions;
-- Usage 1:93-1:164: LAG: x is no INT

SELECT user_id, LAG(amount) IGNORE NULLS OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM transactions;
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   n DOUBLE = LAST_VALUE(amount) IGNORE NULLS OVER (ROWS UNBOUNDED TO 1 PRECEDING ORDER BY event_time)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, count_if(amount > 5) OVER w AS a, sum_where(amount, amount > 5) OVER w AS b, distinct_count(category) OVER w AS c FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   a BIGINT = COUNT(((amount > 5.0) IS NOT DISTINCT FROM TRUE) OR (((amount > 5.0) IS DISTINCT FROM TRUE) AND NULL)) OVER (RANGE UNBOUNDED)
--   b DOUBLE = SUM(CASE WHEN amount > 5.0 THEN amount END) OVER (RANGE UNBOUNDED)
--   c BIGINT = COUNT(DISTINCT category) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, sum_if(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:17-1:30: SUM_IF needs a condition
-- hint: write sum_if(x, amount > 100)

SELECT user_id, percentile_cont(0.9) WITHIN GROUP (ORDER BY amount) OVER w AS a, quantile(small, 0.25) OVER w AS b, percentile_disc(category, 0.5) OVER w AS c FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   a DOUBLE = PERCENTILE_CONT(amount, 0.9) OVER (RANGE UNBOUNDED)
--   b DOUBLE = PERCENTILE_CONT(CAST(small AS DOUBLE), 0.25) OVER (RANGE UNBOUNDED)
--   c VARCHAR = PERCENTILE_DISC(category, 0.5) OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, percentile_cont(amount, 90) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:17-1:97: PERCENTILE_CONT takes a constant from 0 to 1
-- hint: write percentile_cont(x, p)

SELECT user_id, percentile_cont(amount, amount) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:8-1:15: PERCENTILE_CONT takes a constant there, not an expression
-- hint: write percentile_cont(x, p)

SELECT user_id, slope(amount) OVER w AS a, time_since_last() OVER w AS b, rate(amount) OVER w AS c, ew_avg_time(amount, 60) OVER w AS d FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   a DOUBLE = SLOPE(amount, event_time) OVER (RANGE 1 hour)
--   b DOUBLE = TIME_SINCE_LAST(event_time) OVER (RANGE 1 hour)
--   c DOUBLE = CAST(SUM(amount) OVER (RANGE 1 hour) AS DOUBLE) / 3600.0
--   d DOUBLE = EW_AVG_TIME(amount, event_time, 60) OVER (RANGE 1 hour)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead

SELECT user_id, rate(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- NotSupported 1:8-1:15: not supported: RATE over a window without a length in time
-- hint: use RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW

SELECT user_id, rate(small) AS a, histogram(amount, 1, 10, 100) AS h FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   a DOUBLE = CAST(SUM(CAST(small AS BIGINT)) AS DOUBLE) / 3600.0
--   h BIGINT[] = HISTOGRAM(amount, 1, 10, 100)
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end

SELECT user_id, histogram(amount, 10, 1) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:17-1:94: HISTOGRAM takes constant numbers in ascending order
-- hint: write histogram(x, edge, …)

SELECT user_id, corr(amount, small) OVER w AS a, regr_count(amount, small) OVER w AS b, arg_max(category, amount) FILTER (WHERE amount > 0) OVER w AS c, string_agg(category, ',') OVER w AS d, nth_value(amount, 2) IGNORE NULLS OVER w AS e FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time);
-- key (user_id) time Event("event_time")
--   user_id BIGINT = user_id
--   a DOUBLE = CORR(amount, CAST(small AS DOUBLE)) OVER (RANGE UNBOUNDED)
--   b BIGINT UNSIGNED = REGR_COUNT(amount, CAST(small AS DOUBLE)) OVER (RANGE UNBOUNDED)
--   c VARCHAR = ARG_MAX(category, amount) FILTER (WHERE amount > 0.0) OVER (RANGE UNBOUNDED)
--   d VARCHAR = STRING_AGG(category, ',') OVER (RANGE UNBOUNDED)
--   e DOUBLE = NTH_VALUE(amount, 2) IGNORE NULLS OVER (RANGE UNBOUNDED)
--   event_time TIMESTAMP = event_time
-- note: warning: events of equal event_time are ordered by their place in the log (partition, offset); a unique column after event_time in the ORDER BY decides instead
-- note: warning: UNBOUNDED PRECEDING keeps every key for ever

SELECT user_id, corr(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:17-1:28: CORR does not take 1 arguments
-- hint: write corr(y, x)

SELECT user_id, array_agg(category ORDER BY amount DESC, txn_id) AS a, array_agg(category ORDER BY event_time) AS b, bool_and(amount > 5) FILTER (WHERE small > 0) AS c FROM TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, window_start;
-- key (user_id) time Window { start: "window_start", end: "window_end" }
--   user_id BIGINT = user_id
--   a VARCHAR[] = ARRAY_AGG(category ORDER BY amount DESC, txn_id)
--   b VARCHAR[] = ARRAY_AGG(category)
--   c BOOLEAN = BOOL_AND((((small > 0) IS NOT DISTINCT FROM TRUE) AND (amount > 5.0)) OR (((small > 0) IS DISTINCT FROM TRUE) AND NULL))
--   window_start TIMESTAMP = window_start
--   window_end TIMESTAMP = window_end
-- note: warning: ARRAY_AGG: events of equal event_time are ordered by their place in the log (partition, offset); an ORDER BY in the call decides instead

SELECT user_id, mode(DISTINCT category) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:17-1:39: DISTINCT has no meaning in MODE

SELECT user_id, bit_and(amount) OVER (PARTITION BY user_id ORDER BY event_time) AS a FROM transactions;
-- Usage 1:17-1:85: BIT_AND takes integers, not DOUBLE
-- hint: write bit_and(x)
