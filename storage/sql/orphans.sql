-- Give orders whose owner vanished in mid-work to the reconciler.
UPDATE orders SET check_at = now()
WHERE check_at IS NULL
  AND state IN ('SENDING', 'UNKNOWN', 'ACCEPTED', 'PARTIALLY_FILLED')
  AND (lease_until IS NULL OR lease_until < now() - $1::interval)
