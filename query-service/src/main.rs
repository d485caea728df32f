//! The query-service program.

use std::process::ExitCode;

use query_service::cli::{Cli, Command};
use shared::{config, http, process, server, shutdown};

fn main() -> ExitCode {
    let (cli, settings) = config::parse::<Cli>();
    if let Some(Command::Keys { command }) = cli.command {
        return command.run_to_exit_code();
    }
    process::run("query-service", &cli.log, async {
        tracing::info!(%settings, "configuration");
        let shutdown = shutdown::on_signal()?;
        let listener = server::listen(cli.listen, &cli.config.server).await?;
        let http_listener = http::listen(cli.http_listen).await?;
        query_service::run(listener, http_listener, cli.config, shutdown).await
    })
}
