//! Description of the machine that runs the benchmark.

pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) cpu: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(':'));
        let cpu = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim()).to_owned();
        Self { cores, cpu }
    }
}
