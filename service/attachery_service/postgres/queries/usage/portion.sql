-- The part of `q.room` that the shard with this `turn` gets: whole pieces, and the incomplete one for the
-- first shard. NULL without a limit.
(turn.number = 0)::int * (q.room % q.piece)
            + q.piece * (q.room / q.piece / 16 + (turn.number < q.room / q.piece % 16)::int)
