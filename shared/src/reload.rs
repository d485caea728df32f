//! A value built from files and rebuilt when their content changes.
//!
//! The files, of a few kilobytes, are read and compared at an interval. File system notifications
//! would be faster but cannot replace this: Kubernetes updates mounted secrets by moving a symbolic
//! link of a parent directory, and network file systems send no notifications.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Contents of the files, in the order of their paths.
pub(crate) type Contents = [Vec<u8>];

/// Access to the newest valid value. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Reloaded<T>(watch::Receiver<Arc<T>>);

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files, builds the value, and watches the files until all handles are dropped.
    /// `what` names the value in the log.
    ///
    /// # Errors
    /// A file cannot be read, or `make` fails.
    pub(crate) async fn start(
        what: &'static str,
        files: Vec<PathBuf>,
        every: Duration,
        mut make: impl FnMut(&Contents) -> Result<T, String> + Send + 'static,
    ) -> Result<Self, String> {
        let contents = read(&files).await?;
        let (sender, receiver) = watch::channel(Arc::new(make(&contents)?));
        let mut detector = ChangeDetector { tried: Ok(contents), seen: None };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = sender.closed() => return,
                }
                let Some(changed) = detector.record(read(&files).await) else { continue };
                match changed.as_ref().map_err(Clone::clone).and_then(|contents| make(contents)) {
                    Ok(value) => {
                        sender.send_replace(Arc::new(value));
                        tracing::info!(?files, "{what} changed: the new content is in use");
                    }
                    Err(error) => {
                        tracing::error!(
                            error,
                            ?files,
                            "{what} changed, but the new content is invalid: keeping the old one"
                        )
                    }
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Waits until there is a newer value than the one last returned by [`Self::seen_now`].
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await // the files are not watched any more
        }
    }

    /// Returns the current value and marks it as seen.
    pub(crate) fn seen_now(&mut self) -> Arc<T> {
        self.0.borrow_and_update().clone()
    }

    /// Returns the current value.
    pub(crate) fn now(&self) -> Arc<T> {
        self.0.borrow().clone()
    }
}

async fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let mut contents = Vec::with_capacity(files.len());
    for file in files {
        contents.push(
            tokio::fs::read(file)
                .await
                .map_err(|error| format!("cannot read {file:?}: {error}"))?,
        );
    }
    Ok(contents)
}

type ReadResult = Result<Vec<Vec<u8>>, String>;

/// Detects complete changes. A change counts only when two reads in a row agree, so that a change
/// in progress is ignored, such as a new certificate whose key is still missing.
struct ChangeDetector {
    /// Result of the read that was last used to build a value, successfully or not.
    tried: ReadResult,
    /// Result of the last read, if it differs from `tried`.
    seen: Option<ReadResult>,
}

impl ChangeDetector {
    /// Records a read. Returns it if a value should be built from it now: it differs from the
    /// content last tried, and the previous read returned the same.
    fn record(&mut self, found: ReadResult) -> Option<&ReadResult> {
        if found == self.tried {
            self.seen = None;
            return None;
        }
        if self.seen.as_ref() != Some(&found) {
            self.seen = Some(found);
            return None;
        }
        self.seen = None;
        self.tried = found;
        Some(&self.tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_holds_once_it_was_seen_twice_and_is_tried_once() {
        let found = |text: &str| Ok(vec![text.as_bytes().to_vec()]);
        let mut detector = ChangeDetector { tried: found("old"), seen: None };
        assert!(detector.record(found("old")).is_none());
        assert!(detector.record(found("ne")).is_none(), "partially written");
        assert!(detector.record(found("new")).is_none());
        assert_eq!(detector.record(found("new")), Some(&found("new")));
        assert!(detector.record(found("new")).is_none());
        assert!(detector.record(Err("absent".to_owned())).is_none());
        assert!(detector.record(found("new")).is_none(), "the file is back");
        assert!(detector.record(Err("absent".to_owned())).is_none());
        assert!(detector.record(Err("absent".to_owned())).is_some());
        assert!(detector.record(found("new")).is_none());
        assert!(detector.record(found("new")).is_some(), "rebuilt after an error");
    }
}
