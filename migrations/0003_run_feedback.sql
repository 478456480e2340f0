-- What people say about a run's report. It becomes a progress note in State Hub and never a page.
--
-- The row is the intent: it is there before anything is sent, and note_sent_at says that State Hub
-- has it. A replica that is about to send a note first moves note_due_at on, so that no other sends
-- it at the same time, and so that it is tried again if that replica dies meanwhile.

create table run_feedback (
    feedback_id uuid primary key,
    run_id uuid not null references activity_runs on delete cascade,
    kind text not null,
    comment text,
    -- Who said so, as Kubernetes knows them; null where nobody asks who calls.
    author text,
    created_at timestamptz not null default now(),
    note_attempts integer not null default 0,
    note_due_at timestamptz not null default now(),
    note_sent_at timestamptz,
    -- State Hub's id of the note.
    note_reference text,
    note_error text,
    constraint run_feedback_kind_check
        check (kind in ('Noisy', 'TooLong', 'UnderSensitive', 'Other')),
    constraint run_feedback_comment_check check (char_length(comment) between 1 and 4000)
);

create index run_feedback_of_run on run_feedback (run_id, created_at);

-- What is still to be sent.
create index run_feedback_due on run_feedback (note_due_at) where note_sent_at is null;
