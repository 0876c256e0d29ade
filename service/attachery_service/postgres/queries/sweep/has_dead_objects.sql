(n.state NOT IN ('pending', 'ready') OR n.delete_time IS NOT NULL
    OR (n.state = 'ready' AND n.seal = 'copy'))
