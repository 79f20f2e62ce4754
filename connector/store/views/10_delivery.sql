-- The states of work orders, lines and orders. They are stored nowhere: only tasks hold state, and
-- this file is the one place that does the arithmetic (domain 3.1, 3.4 "Order states as one table").
-- The work of one order is found through indexes, so reading a few orders never counts all of them.

CREATE VIEW v_work_order_state AS
SELECT w.id AS work_order_id,
       w.order_line_id,
       o.id AS order_id,
       CASE
           -- A task is never cancelled alone: one cancelled task is a cancelled work order.
           WHEN t.total > 0 AND t.open = 0 AND t.canceled > 0 THEN 'Canceled'
           WHEN t.total > 0 AND t.open = 0 THEN 'Completed'
           WHEN o.held_at IS NOT NULL THEN 'On Hold'
           WHEN t.first_ready_at IS NOT NULL THEN 'In Progress'
           ELSE 'Pending'
       END AS state,
       CASE WHEN t.total > t.canceled
            THEN (t.done * 100 / (t.total - t.canceled))::integer ELSE 0
       END AS progress_pct,
       (t.total - t.canceled)::integer AS tasks_total,
       t.done::integer AS tasks_done,
       t.first_ready_at AS started_at,
       t.expected_end_at,
       CASE WHEN t.total > 0 AND t.open = 0 THEN t.last_end_at END AS actual_end_at
  FROM work_order w
  JOIN order_line l ON l.id = w.order_line_id
  JOIN customer_order o ON o.id = l.order_id
 CROSS JOIN LATERAL (
    SELECT count(*) AS total,
           count(*) FILTER (WHERE state IN ('Completed', 'Skipped')) AS done,
           count(*) FILTER (WHERE state = 'Canceled') AS canceled,
           count(*) FILTER (WHERE state NOT IN ('Completed', 'Skipped', 'Canceled')) AS open,
           min(ready_at) AS first_ready_at,
           max(coalesce(actual_end_at, expected_end_at)) AS expected_end_at,
           max(actual_end_at) AS last_end_at
      FROM task
     WHERE task.work_order_id = w.id
 ) t;

CREATE VIEW v_order_line_state AS
SELECT l.id AS order_line_id,
       CASE
           WHEN w.total = 0 THEN 'Pending'
           WHEN w.canceled = w.total THEN 'Canceled'
           WHEN w.canceled + w.completed = w.total THEN 'Completed'
           WHEN w.held > 0 THEN 'On Hold'
           WHEN w.pending = w.total THEN 'Pending'
           ELSE 'In Progress'
       END AS state
  FROM order_line l
 CROSS JOIN LATERAL (
    SELECT count(*) AS total,
           count(*) FILTER (WHERE state = 'Canceled') AS canceled,
           count(*) FILTER (WHERE state = 'Completed') AS completed,
           count(*) FILTER (WHERE state = 'On Hold') AS held,
           count(*) FILTER (WHERE state = 'Pending') AS pending
      FROM v_work_order_state
     WHERE v_work_order_state.order_line_id = l.id
 ) w;

CREATE VIEW v_order_state AS
SELECT o.id AS order_id,
       CASE
           WHEN w.total = 0 AND o.cancel_requested_at IS NOT NULL THEN 'Canceled'
           WHEN w.total > 0 AND w.canceled = w.total THEN 'Canceled'
           WHEN w.total > 0 AND w.completed = w.total THEN 'Completed'
           WHEN w.total > 0 AND w.completed + w.canceled = w.total THEN 'Partial'
           WHEN o.cancel_requested_at IS NOT NULL THEN 'Pending Cancel'
           WHEN o.held_at IS NOT NULL THEN 'On Hold'
           WHEN o.started_at IS NULL OR w.pending = w.total THEN 'Pending'
           ELSE 'In Progress'
       END AS state,
       CASE WHEN w.tasks_total > 0
            THEN (w.tasks_done * 100 / w.tasks_total)::integer ELSE 0
       END AS progress_pct,
       w.tasks_total::integer AS tasks_total,
       w.tasks_done::integer AS tasks_done,
       next_task.name AS next_step,
       stuck_task.blocker,
       o.started_at,
       w.expected_end_at,
       CASE WHEN w.total > 0 AND w.completed + w.canceled = w.total THEN w.actual_end_at
       END AS actual_end_at
  FROM customer_order o
 CROSS JOIN LATERAL (
    SELECT count(*) AS total,
           count(*) FILTER (WHERE s.state = 'Canceled') AS canceled,
           count(*) FILTER (WHERE s.state = 'Completed') AS completed,
           count(*) FILTER (WHERE s.state = 'Pending') AS pending,
           coalesce(sum(s.tasks_total), 0) AS tasks_total,
           coalesce(sum(s.tasks_done), 0) AS tasks_done,
           max(s.expected_end_at) AS expected_end_at,
           max(s.actual_end_at) AS actual_end_at
      FROM order_line l
      JOIN v_work_order_state s ON s.order_line_id = l.id
     WHERE l.order_id = o.id
 ) w
  LEFT JOIN LATERAL (
    SELECT t.name
      FROM order_line l
      JOIN work_order wo ON wo.order_line_id = l.id
      JOIN task t ON t.work_order_id = wo.id
     WHERE l.order_id = o.id AND t.state IN ('Ready', 'In Progress', 'Waiting', 'Error', 'Pending')
     ORDER BY t.state = 'Pending', l.sequence, t.sequence
     LIMIT 1
 ) next_task ON true
  LEFT JOIN LATERAL (
    -- What has stood still longest: given up, or told to wait.
    SELECT left(t.number || ' ' || t.name || coalesce(': ' || t.error_message, ''), 255) AS blocker
      FROM order_line l
      JOIN work_order wo ON wo.order_line_id = l.id
      JOIN task t ON t.work_order_id = wo.id
     WHERE l.order_id = o.id AND t.state IN ('Error', 'Waiting')
     ORDER BY t.state = 'Waiting', t.ready_at NULLS LAST, t.id
     LIMIT 1
 ) stuck_task ON true;
