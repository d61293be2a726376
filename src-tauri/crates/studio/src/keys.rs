//! Secrets, in the system's keychain and nowhere else.

use keyring::{Entry, Error as Refusal};

use crate::Studio;
use crate::api::{Key, KeysListRequest, KeysRemoveRequest, KeysSetRequest, Session};
use crate::error::{Error, Result};

/// The name under which the keychain lists what is ours.
const SERVICE: &str = "attune";

/// Name, title and purpose of every key the program knows.
const KEYS: [(&str, &str, &str); 1] = [(
    "huggingface",
    "Hugging Face access token",
    "Lets you download gated models that your account may read. Create one at huggingface.co under Settings, Access Tokens, with read access.",
)];

/// Lists the keys and whether the keychain holds them.
#[expect(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(crate) fn list(_: &Studio, _: KeysListRequest, _: &mut Session<'_>) -> Result<Vec<Key>> {
    Ok(KEYS.iter().map(|(name, ..)| describe(name)).collect())
}

/// Puts a key into the keychain.
pub(crate) fn set(_: &Studio, request: KeysSetRequest, _: &mut Session<'_>) -> Result<Key> {
    let value = request.value.trim();
    if value.is_empty() {
        return Err(Error::new("key-empty", "the key is empty")
            .with_remedy("Paste the key, or remove the stored one.")
            .with_place(request.name));
    }
    entry(&request.name)?
        .set_password(value)
        .map_err(|refusal| refused(&refusal))?;
    Ok(describe(&request.name))
}

/// Removes a key; one that is not there is removed already.
pub(crate) fn remove(_: &Studio, request: KeysRemoveRequest, _: &mut Session<'_>) -> Result<Key> {
    match entry(&request.name)?.delete_credential() {
        Ok(()) | Err(Refusal::NoEntry) => Ok(describe(&request.name)),
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn describe(name: &str) -> Key {
    let (_, title, help) = KEYS
        .iter()
        .find(|(known, ..)| *known == name)
        .copied()
        .unwrap_or((name, name, ""));
    let found = entry(name).and_then(|entry| match entry.get_password() {
        Ok(_) => Ok(true),
        Err(Refusal::NoEntry) => Ok(false),
        Err(refusal) => Err(refused(&refusal)),
    });
    Key {
        name: name.to_owned(),
        title: title.to_owned(),
        help: help.to_owned(),
        stored: matches!(found, Ok(true)),
        problem: found.err(),
    }
}

fn entry(name: &str) -> Result<Entry> {
    if !KEYS.iter().any(|(known, ..)| *known == name) {
        return Err(Error::new(
            "key-unknown",
            format!("there is no key called `{name}`"),
        ));
    }
    Entry::new(SERVICE, name).map_err(|refusal| refused(&refusal))
}

fn refused(refusal: &Refusal) -> Error {
    Error::new(
        "keychain",
        format!("the system's keychain refused: {refusal}"),
    )
    .with_remedy(
        "Unlock the keychain. On Linux a secret service must run, such as GNOME Keyring or KeePassXC.",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::Control;

    /// Whether or not this machine has a keychain, the list has an answer, and a key that does not
    /// exist is refused.
    #[test]
    fn a_machine_without_a_keychain_says_so() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let keys = list(&studio, KeysListRequest {}, &mut session).unwrap();
        assert_eq!(keys.len(), KEYS.len());
        for key in keys {
            if let Some(problem) = key.problem {
                assert_eq!(problem.code, "keychain");
                assert!(problem.remedy.is_some() && !key.stored);
            }
        }
        let unknown = KeysSetRequest {
            name: "nobody".to_owned(),
            value: "x".to_owned(),
        };
        assert_eq!(
            set(&studio, unknown, &mut session).unwrap_err().code,
            "key-unknown"
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let request = KeysSetRequest {
            name: "huggingface".to_owned(),
            value: "hf_secret".to_owned(),
        };
        assert!(!format!("{request:?}").contains("hf_secret"));
    }
}
