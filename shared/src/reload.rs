//! A value that is made of files, and made again when their content changes.
//!
//! The files are read every few seconds and compared. Notifications of the file system would be quicker, but Kubernetes
//! replaces mounted secrets by moving a symbolic link of a folder above them, network file systems notify of nothing, and both
//! would need this as well. The files are a few kilobytes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// What the files hold, in their order.
pub(crate) type Contents = [Vec<u8>];

/// The newest usable value, for any number of readers.
#[derive(Debug)]
pub(crate) struct Reloaded<T>(watch::Receiver<Arc<T>>);

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files and makes the value; then keeps looking until nobody reads any more. `what` is for the log.
    ///
    /// # Errors
    /// A file cannot be read, or no value can be made of them.
    pub(crate) async fn start(
        what: &'static str,
        files: Vec<PathBuf>,
        every: Duration,
        mut make: impl FnMut(&Contents) -> Result<T, String> + Send + 'static,
    ) -> Result<Self, String> {
        let contents = read(&files).await?;
        let (sender, receiver) = watch::channel(Arc::new(make(&contents)?));
        let mut looks = Looks { tried: Ok(contents), seen: None };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = sender.closed() => return,
                }
                let Some(changed) = looks.look(read(&files).await) else { continue };
                match changed.as_ref().map_err(Clone::clone).and_then(|contents| make(contents)) {
                    Ok(value) => {
                        sender.send_replace(Arc::new(value));
                        tracing::info!(?files, "{what} changed: the new content holds");
                    }
                    Err(error) => {
                        tracing::error!(
                            error,
                            ?files,
                            "{what} changed, but is not usable: the old one stays"
                        )
                    }
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Waits until another value holds than the one that was last seen.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await // nobody looks at the files any more
        }
    }

    /// The value that holds now; it counts as seen.
    pub(crate) fn seen_now(&mut self) -> Arc<T> {
        self.0.borrow_and_update().clone()
    }

    /// The value that holds now.
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
                .map_err(|error| format!("{file:?} cannot be read: {error}"))?,
        );
    }
    Ok(contents)
}

type Look = Result<Vec<Vec<u8>>, String>;

/// Tells a change that stands still from one that is under way, such as a certificate whose key is not there yet.
struct Looks {
    /// What was made use of last, or could not be.
    tried: Look,
    /// What the last look found, where it was something else.
    seen: Option<Look>,
}

impl Looks {
    /// What is to be tried now, if anything: what was not tried yet, and is the same as at the last look.
    fn look(&mut self, found: Look) -> Option<&Look> {
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
        let mut looks = Looks { tried: found("old"), seen: None };
        assert!(looks.look(found("old")).is_none());
        assert!(looks.look(found("ne")).is_none(), "being written");
        assert!(looks.look(found("new")).is_none());
        assert_eq!(looks.look(found("new")), Some(&found("new")));
        assert!(looks.look(found("new")).is_none());
        assert!(looks.look(Err("absent".to_owned())).is_none());
        assert!(looks.look(found("new")).is_none(), "there again");
        assert!(looks.look(Err("absent".to_owned())).is_none());
        assert!(looks.look(Err("absent".to_owned())).is_some());
        assert!(looks.look(found("new")).is_none());
        assert!(looks.look(found("new")).is_some(), "after an error it is made again");
    }
}
