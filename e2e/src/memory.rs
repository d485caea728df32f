//! What a running process takes of memory, from outside. Linux says it; elsewhere every answer is `None`.

/// What ingest-service may take whatever happens, in MiB.
pub const MEMORY_BOUND: f64 = 256.0;

/// The memory of one process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Memory(u32);

impl Memory {
    /// Of the process with this id.
    #[must_use]
    pub fn of(process_id: u32) -> Self {
        Self(process_id)
    }

    /// What it has in RAM now, in MiB.
    #[must_use]
    pub fn now_mib(self) -> Option<f64> {
        self.read("VmRSS:")
    }

    /// Most that it has had in RAM, since it began or since `forget_peak`, in MiB.
    #[must_use]
    pub fn peak_mib(self) -> Option<f64> {
        self.read("VmHWM:")
    }

    /// Lets the peak begin anew. `None` where the system does not do that.
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
