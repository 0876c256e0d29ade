-- Whether the session `s` is still visible: its metadata is retained, or a hold on it lasts.
(s.metadata_purge_time > now() OR held.end_time > now())
