//! How each command of studio is written on the command line.

use attune_studio::api::Call;

/// The words after `attune`. There is no wildcard: a command that the command line does not offer
/// does not compile.
pub(crate) fn spelling(call: &Call) -> &'static str {
    match call {
        Call::Doctor(_) => "doctor",
        Call::DataImport(_) => "data import",
        Call::DataCheck(_) => "data check",
        Call::DataPreview(_) => "data preview",
        Call::DataList(_) => "data list",
        Call::DataShow(_) => "data show",
        Call::DataRemove(_) => "data remove",
        Call::ModelsList(_) => "models list",
        Call::ModelsAdd(_) => "models add",
        Call::ModelsInspect(_) => "models inspect",
        Call::ModelsRemove(_) => "models remove",
        Call::ExperimentEstimate(_) => "estimate",
        Call::ExperimentStart(_) => "train",
        Call::ExperimentsList(_) => "experiments list",
        Call::ExperimentsShow(_) => "experiments show",
        Call::ExperimentsLog(_) => "experiments log",
        Call::ExperimentsSamples(_) => "experiments samples",
        Call::ExperimentsRename(_) => "experiments rename",
        Call::ExperimentsEvents(_) => "call experiments_events",
        Call::ExperimentsFirstBatch(_) => "call experiments_first_batch",
        Call::ExperimentsEvaluations(_) => "call experiments_evaluations",
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
        Call::SystemLoad(_) => "call system_load",
        Call::Preferences(_) => "call preferences",
        Call::PreferencesSet(_) => "call preferences_set",
        Call::KeysList(_) => "call keys_list",
        Call::KeysSet(_) => "call keys_set",
        Call::KeysRemove(_) => "call keys_remove",
        Call::RequestsList(_) => "call requests_list",
        Call::Diagnostics(_) => "call diagnostics",
        Call::Licences(_) => "call licences",
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
    const LINES: [&str; 41] = [
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
        "data preview a --model b",
        "estimate a.yaml",
        "train a.yaml",
        "experiments list",
        "experiments show a",
        "experiments log a",
        "experiments samples a",
        "experiments rename a b",
        "call experiments_events",
        "call experiments_first_batch",
        "call experiments_evaluations",
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
        "call system_load",
        "call preferences",
        "call preferences_set",
        "call keys_list",
        "call keys_set",
        "call keys_remove",
        "call requests_list",
        "call diagnostics",
        "call licences",
    ];

    /// The page that lists every command with its adapters, from the same source as both.
    fn document(typed: &[(&str, &str)]) -> String {
        let mut text = String::from(
            "# Commands\n\n\
            Generated from `studio::api` by `make generated`: everything the program can do, how the terminal spells it, \
            and the window's command of the same name. A command without both does not compile.\n\n\
            | command | what it does | in the terminal | in the window |\n|---|---|---|---|\n",
        );
        for command in COMMANDS {
            let spelled = typed.iter().find(|(name, _)| *name == command.name);
            let spelled = spelled.map_or("chat", |(_, spelled)| *spelled);
            text += &format!(
                "| `{0}` | {1} | `attune {spelled}` | `{0}` |\n",
                command.name, command.help
            );
        }
        text
    }

    #[test]
    fn generated_commands_page() {
        let typed: Vec<(&str, &str)> = LINES
            .iter()
            .map(|line| {
                let arguments =
                    Arguments::try_parse_from(["attune"].into_iter().chain(line.split(' ')))
                        .unwrap();
                match Work::of(arguments.command, false).unwrap() {
                    Work::Call(request) => (request.call.name(), spelling(&request.call)),
                    Work::Remove(removal) => (removal.call.name(), spelling(&removal.call)),
                    Work::Chat(_) | Work::Demo(_) => unreachable!("{line} is one call"),
                }
            })
            .collect();
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/commands.md");
        let document = document(&typed);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &document).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == document,
            "docs/commands.md is old: run `make generated`"
        );
    }

    /// Every command of the list can be typed, and what is typed becomes that command.
    #[test]
    fn every_command_can_be_typed() {
        let mut reached = Vec::new();
        for line in LINES {
            let arguments =
                Arguments::try_parse_from(["attune"].into_iter().chain(line.split(' '))).unwrap();
            let call = match Work::of(arguments.command, false).unwrap() {
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
