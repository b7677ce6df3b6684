-- Put dead letters aside for good; those that are being replayed are left alone.
UPDATE dead_letters d SET
    state = 'dropped', changed_at = now(), changed_by = $10, changed_why = $11, result = NULL
FROM dead_letters_matching($1, $2, $3, $4, $5, $6, $7, $8, $9) m
WHERE d.id = m.id AND d.state = 'waiting'
