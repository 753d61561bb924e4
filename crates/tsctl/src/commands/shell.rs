//! `completions` and `man`: what the command line's own definitions are turned into.

use crate::{
    cli::Cli,
    exit::{self, Exit},
    load::Failure,
    output::Output,
};
use clap::CommandFactory;
use std::fmt::Write;
use ts_core::{Error, ErrorKind};

/// Prints completions.
pub(crate) fn completions(output: &Output, shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tsctl", &mut script);
    output.raw(&script)?;
    Ok(Exit::Success)
}

/// Prints the manual page: all commands on one page, and the exit codes.
pub(crate) fn man(output: &Output) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let render = |page: &mut Vec<u8>| -> std::io::Result<()> {
        let mut command = Cli::command();
        command.build();
        clap_mangen::Man::new(command.clone()).render(page)?;
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let man = clap_mangen::Man::new(sub.clone());
            page.extend(format!(".SH TSCTL {}\n", sub.get_name().to_uppercase()).bytes());
            man.render_synopsis_section(page)?;
            man.render_description_section(page)?;
            man.render_options_section(page)?;
        }
        Ok(())
    };
    render(&mut page).map_err(|e| Error::new(ErrorKind::Internal, "the manual cannot be made").with_source(e))?;
    let mut codes = String::from(".SH \"EXIT STATUS\"\n");
    for (exit, meaning) in exit::Exit::ALL {
        let _ = write!(codes, ".TP\n\\fB{}\\fR\n{meaning}\n", exit.code());
    }
    page.extend(codes.bytes());
    output.raw(&page)?;
    Ok(Exit::Success)
}
