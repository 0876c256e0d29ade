-- Whether objects of the session `n` are to be deleted: it ended without an attachment, its bytes
-- were deleted, or a sealed copy replaced the uploaded object.
(n.state NOT IN ('pending', 'ready') OR n.delete_time IS NOT NULL
    OR (n.state = 'ready' AND n.seal = 'copy'))
