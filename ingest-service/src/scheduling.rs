//! Scheduling: decides when a batch is admitted, which lane it takes, and which flush writes it.
//!
//! A lane is a queue, a batcher and a writer, and runs in its own task. Lanes perform group commit:
//! while a writer is busy, batches accumulate; once it is free, they form the next flush. There is
//! no timer. Under light load a flush is one batch and is written immediately; under heavy load
//! flushes grow. The last lane, the quick lane, serves small clients. Nothing here depends on SQL.
//!
//! | part | task |
//! |---|---|
//! | [`admission`] | grants permits for points, fairly between clients |
//! | `affinity` | keeps all unsettled batches of a producer in one lane |
//! | [`lanes`] | admits a batch, chooses its lane, and queues it |
//! | `lane_task` | runs a lane: forms flushes and writes them |
//! | `batcher` | combines queued batches into flushes |
//! | `deferred` | keeps batches whose ledger rows are locked, until their retry |
//!
//! # Policy
//!
//! "Full flush" means `TIDEGAUGE_FLUSH_MAX_POINTS`, by default 100,000 points.
//!
//! | rule | reason | constant |
//! |---|---|---|
//! | **Admission** | | |
//! | All lanes hold at most 400,000 points. | bounded memory | `TIDEGAUGE_QUEUE_MAX_POINTS` |
//! | The client that holds the fewest points is next. | fairness | |
//! | In a tie, the client that has waited longest is next. | fairness | |
//! | One client holds at most 3/4 of the capacity. | reserve for others | `CLIENT_MAX_QUARTERS` |
//! | A client's streaming and unary batches take turns. | neither starves | |
//! | A unary batch must settle within 250 ms by forecast. | no late answers | `UNARY_TIMEOUT` |
//! | Its refusal is sent only after 250 ms. | cheap instant retries | `UNARY_TIMEOUT` |
//! | A producer with deferred batches gets no permit. | reserve for others | |
//! | **Choice of the lane** | | |
//! | All unsettled batches of a producer are in one lane. | order | |
//! | A new producer takes the lane with the fewest whole flushes. | load | |
//! | In a tie, it takes the lane with the fewest producers. | it may stay for long | |
//! | An unnumbered batch takes the lane with the fewest points. | load | |
//! | A client with at most 1/50 of a full flush is small. | latency | `SMALL_CLIENT_DIVISOR` |
//! | Only small clients use the quick lane. | no wait for large flushes | |
//! | **Size and order of flushes** | | |
//! | The quick lane writes at most 1/20 of a full flush. | latency | `QUICK_FLUSH_DIVISOR` |
//! | While unary calls wait, a flush is at most 1/2 full. | latency | `UNARY_FLUSH_DIVISOR` |
//! | While others send, a client gets at most 1/4 of a flush. | fairness | `MIN_SHARES` |
//! | A client counts as sending for 1 s after a batch. | it may send again | `RECENT` |
//! | Unary batches count as 500 ms older than they are. | a caller waits | `UNARY_PRIORITY` |
//! | A client's batches in a flush span at most 1 s. | order | `TIDEGAUGE_FLUSH_MAX_DELAY` |
//! | Deferred batches are retried every 250 ms. | locks are short | `RETRY` |
//!
//! The forecast is the time for which the client's last batch held its permit. A client that holds
//! no points may exceed the 3/4, so that a large batch is never stuck.

pub(crate) mod admission;
mod affinity;
mod batcher;
mod deferred;
mod lane_task;
pub(crate) mod lanes;
