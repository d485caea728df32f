//! Memory of a running process, seen from outside. Only Linux reports it. Elsewhere every method
//! returns `None`.

/// Upper bound on the memory of ingest-service under any load, in MiB.
pub const MEMORY_BOUND: f64 = 256.0;

/// Memory of the process with this id.
#[derive(Clone, Copy, Debug)]
pub struct Memory(u32);

impl Memory {
    /// Returns the memory of the process with this id.
    #[must_use]
    pub fn of(process_id: u32) -> Self {
        Self(process_id)
    }

    /// Returns the current resident memory, in MiB.
    #[must_use]
    pub fn now_mib(self) -> Option<f64> {
        self.read("VmRSS:")
    }

    /// Returns the peak resident memory since the start or the last `forget_peak`, in MiB.
    #[must_use]
    pub fn peak_mib(self) -> Option<f64> {
        self.read("VmHWM:")
    }

    /// Resets the peak. Returns `None` where the system does not support it.
    #[must_use]
    pub fn forget_peak(self) -> Option<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.0), "5").ok()
    }

    fn read(self, name: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
    }
}
