-- The ledger: how far each producer's batches are applied. A flush advances its rows in the transaction that writes its
-- points. The fill factor leaves room to update a row within its page.
CREATE TABLE producers (
    producer_id   text COLLATE "C" PRIMARY KEY,
    epoch         int8        NOT NULL,
    last_sequence int8        NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
