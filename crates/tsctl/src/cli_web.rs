//! Options of the HTTP API: where it listens, if at all.

use crate::cli;
use clap::Args;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

/// The page beside the API.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Page {
    /// Open the page in the browser of this desktop
    #[arg(long)]
    pub(crate) open: bool,
    /// Show the page of NNI's own package, where Python has it, instead of the one that is built in
    #[arg(long)]
    pub(crate) nni_portal: bool,
}

/// Where the HTTP API listens. Nothing listens unless a port or a page is asked for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "HTTP API")]
pub(crate) struct Listen {
    /// Serve the HTTP API at this port; 0 chooses one that is free
    #[arg(long, short, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Address of this machine to listen at; another than 127.0.0.1 needs a token
    #[arg(long, value_name = "ADDRESS", requires = "port")]
    pub(crate) address: Option<IpAddr>,
    /// What stands before the paths of all addresses
    #[arg(long, value_name = "PREFIX", alias = "url_prefix", requires = "port")]
    pub(crate) url_prefix: Option<String>,
    /// File with the token that clients must send; by default one is made where one is needed
    #[arg(long, value_name = "FILE", requires = "port")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) page: Page,
}

impl Listen {
    /// Where to listen, if that is wanted; a page without a port is at one that is free.
    pub(crate) fn wanted(&self) -> Option<ts_manager::rest::Listen> {
        let is_shown = self.page.open || self.page.nni_portal;
        self.port.or(is_shown.then_some(0)).map(|port| self.at(port))
    }

    fn at(&self, port: u16) -> ts_manager::rest::Listen {
        ts_manager::rest::Listen {
            address: self.address.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            port,
            prefix: self.url_prefix.clone(),
            token_file: self.token_file.clone(),
        }
    }

    /// The same as arguments of a process of its own, which opens no browser.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let port = self.wanted().map(|listen| listen.port.to_string());
        let mut add =
            |name: &str, value: Option<String>| arguments.extend(value.map(|value| format!("--{name}={value}")));
        add("port", port);
        add("address", self.address.map(|address| address.to_string()));
        add("url-prefix", self.url_prefix.clone());
        add(
            "token-file",
            self.token_file.as_ref().map(|file| file.display().to_string()),
        );
        arguments.extend(self.page.nni_portal.then(|| "--nni-portal".to_owned()));
        arguments
    }
}

/// Shows an experiment in a browser, one that runs or one that has ended: a page, and the HTTP API that it uses.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Web {
    #[command(flatten)]
    pub(crate) of: cli::Experiment,
    /// Port; 0 chooses one that is free
    #[arg(long, short, value_name = "N", default_value = "0")]
    pub(crate) port: u16,
    /// Address of this machine to listen at; another than 127.0.0.1 needs a token
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<IpAddr>,
    /// What stands before the paths of all addresses
    #[arg(long, value_name = "PREFIX", alias = "url_prefix")]
    pub(crate) url_prefix: Option<String>,
    /// File with the token that clients must send; by default one is made where one is needed
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) page: Page,
}

impl Web {
    /// Where to listen.
    pub(crate) fn listen(&self) -> ts_manager::rest::Listen {
        ts_manager::rest::Listen {
            address: self.address.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            port: self.port,
            prefix: self.url_prefix.clone(),
            token_file: self.token_file.clone(),
        }
    }
}
