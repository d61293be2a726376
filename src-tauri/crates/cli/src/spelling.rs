//! How each command of studio is written on the command line.

use attune_studio::api::Call;

/// The words after `attune`. There is no wildcard: a command that the command line does not offer
/// does not compile.
pub(crate) fn spelling(call: &Call) -> &'static str {
    match call {
        Call::Doctor(_) => "doctor",
        Call::DataImport(_) => "data import",
        Call::DataCheck(_) => "data check",
        Call::DataList(_) => "data list",
        Call::DataShow(_) => "data show",
        Call::DataRemove(_) => "data remove",
        Call::ModelsList(_) => "models list",
        Call::ModelsAdd(_) => "models add",
        Call::ModelsInspect(_) => "models inspect",
        Call::ModelsRemove(_) => "models remove",
        Call::ExperimentStart(_) => "train",
        Call::ExperimentsList(_) => "experiments list",
        Call::ExperimentsShow(_) => "experiments show",
        Call::ExperimentsPause(_) => "experiments pause",
        Call::ExperimentsResume(_) => "experiments resume",
        Call::ExperimentsStop(_) => "experiments stop",
        Call::ExperimentsDelete(_) => "experiments delete",
        Call::JobsList(_) => "jobs list",
        Call::JobsCancel(_) => "jobs cancel",
        Call::Evaluate(_) => "evaluate",
        Call::Score(_) => "score",
        Call::Chat(_) => "chat",
        Call::Export(_) => "export",
        Call::Settings(_) => "settings",
        Call::Starter(_) => "starter",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use attune_studio::api::COMMANDS;
    use clap::{CommandFactory, Parser};

    use super::spelling;
    use crate::arguments::Arguments;
    use crate::request::Work;

    /// One command line for each command of studio.
    const LINES: [&str; 24] = [
        "doctor",
        "data import a.csv",
        "data check a.csv",
        "data list",
        "data show a",
        "data remove a",
        "models list",
        "models add a",
        "models inspect a",
        "models remove a",
        "train a.yaml",
        "experiments list",
        "experiments show a",
        "experiments pause a",
        "experiments resume a",
        "experiments stop a",
        "experiments delete a",
        "jobs list",
        "jobs cancel 1",
        "evaluate --model a --data b",
        "score --model a --tokens 1,2",
        "export --model a --to b",
        "settings",
        "starter",
    ];

    /// Every command of the list can be typed, and what is typed becomes that command.
    #[test]
    fn every_command_can_be_typed() {
        let mut reached = Vec::new();
        for line in LINES {
            let arguments =
                Arguments::try_parse_from(["attune"].into_iter().chain(line.split(' '))).unwrap();
            let call = match Work::of(arguments.command, false) {
                Work::Call(request) => request.call,
                Work::Remove(removal) => removal.call,
                Work::Chat(_) | Work::Demo(_) => unreachable!("{line} is one call"),
            };
            assert!(
                line.starts_with(spelling(&call)),
                "{line} became {}",
                spelling(&call)
            );
            reached.push(call.name());
        }
        // A conversation is many calls; it has an adapter of its own.
        Arguments::command().find_subcommand("chat").unwrap();
        reached.push("chat");
        let missing = COMMANDS
            .iter()
            .filter(|command| !reached.contains(&command.name))
            .collect::<Vec<_>>();
        assert!(missing.is_empty(), "{missing:?} cannot be typed");
    }
}
