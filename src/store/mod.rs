//! The log of a stream, and journals of small states beside it.
//!
//! No file, clock or random number is reached from here: the disk is a [trait](Disk) whose
//! completions come back as input, times and seeds are arguments.
//!
//! | file | idea |
//! |---|---|
//! | `log` | the log: what streams and consumers call |
//! | `message` | messages, answers and errors |
//! | `index` | what is known without reading: sequences, subjects, filters, wakes |
//! | `file` | records of file logs: format, writing, recovery, checkpoints, space |
//! | `memory` | records of memory logs |
//! | `cache` | what was read from disk |
//! | `sim` | a simulated disk that fails, for tests |
//! | `journal` | snapshot and changes of a small state |
//! | `fuzzing` | the decoders, for fuzz targets |
//! | `disk`, `aligned` | operations, completions, buffers |

mod aligned;
mod cache;
pub mod disk;
mod file;
pub mod fuzzing;
mod index;
mod journal;
mod log;
mod memory;
mod message;
pub mod sim;

pub use self::aligned::Aligned;
pub use self::cache::BlockCache;
pub use self::disk::{Completed, Disk, DiskError, FileId, Op, OpenMode, Output, Tag};
pub use self::index::filter::{Filter, FilterCursor};
pub use self::journal::{Journal, JournalConfig, Recovered};
pub use self::log::{
    Compression, Deleted, Log, LogConfig, Mark, PENDING_MAX, StorageKind, SyncPolicy,
};
pub use self::message::{
    AppendError, Damage, Fetch, LogFailure, LogState, MessageMeta, NewMessage, Removal, Removed,
    Replay, Stored, SubjectState, WakeKind, accounted, accounted_in_memory,
};

/// Default size of a segment file, in bytes.
pub const SEGMENT_BYTES: u32 = 64 * 1024 * 1024;
