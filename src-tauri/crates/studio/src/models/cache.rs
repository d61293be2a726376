//! The Hugging Face cache, so that what other programs downloaded is found and shared.
//!
//! `models--org--name/refs/<branch>` holds a commit; `snapshots/<commit>/` holds the files.

use std::fs;
use std::path::{Path, PathBuf};

use attune_data::Gguf;

/// Where the cache lies: `HF_HUB_CACHE`, `HF_HOME/hub`, or `~/.cache/huggingface/hub`.
pub(crate) fn cache_folder() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = variable("HF_HUB_CACHE") {
        return folder;
    }
    if let Some(home) = variable("HF_HOME") {
        return home.join("hub");
    }
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.unwrap_or_default().join("huggingface").join("hub")
}

/// Ids and folders of the models in the cache, by id.
pub(super) fn models() -> Vec<(String, PathBuf)> {
    models_in(&cache_folder())
}

fn models_in(cache: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(cache) else {
        return Vec::new();
    };
    let mut models: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let id = repository_id(entry.file_name().to_str()?)?;
            Some((id, snapshot(&entry.path())?))
        })
        .flat_map(|(id, folder)| {
            // Beside a model's own files, GGUF files are that model once more.
            if folder.join("config.json").is_file() && has_weights(&folder) {
                return vec![(id, folder)];
            }
            let named = |file: PathBuf| {
                let name = file.file_name()?.to_str()?.to_owned();
                Some((format!("{id}/{name}"), file))
            };
            gguf_files(&folder).into_iter().filter_map(named).collect()
        })
        .collect();
    models.sort();
    models
}

/// Whether a folder holds more than a configuration.
fn has_weights(folder: &Path) -> bool {
    gguf_files(folder).is_empty()
        || fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|end| end == "safetensors")
            })
        })
}

/// The GGUF files of a folder that are a whole model by their name: no part of one, and no
/// projector of pictures.
pub(super) fn gguf_files(folder: &Path) -> Vec<PathBuf> {
    let part = |name: &str| {
        let stem = name.strip_suffix(".gguf").unwrap_or(name);
        let total = stem.rsplit_once("-of-").map(|(_, total)| total);
        total.is_some_and(|total| {
            total.len() == 5 && total.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_lowercase();
            Gguf::is_one(path) && !part(&name) && !name.starts_with("mmproj")
        })
        .collect();
    files.sort();
    files
}

/// `models--org--name` → `org/name`; `None` for data sets and whatever else lies there.
fn repository_id(folder: &str) -> Option<String> {
    folder
        .strip_prefix("models--")
        .filter(|rest| !rest.is_empty())
        .map(|rest| rest.replacen("--", "/", 1))
}

/// The snapshot of the main branch, else the newest. A ref's content comes from outside and becomes
/// part of a path, so it must look like a commit.
fn snapshot(repository: &Path) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let named = fs::read_to_string(repository.join("refs").join("main")).ok();
    let named = named
        .map(|commit| commit.trim().to_owned())
        .filter(|commit| is_commit(commit));
    if let Some(folder) = named
        .map(|commit| snapshots.join(commit))
        .filter(|folder| folder.is_dir())
    {
        return Some(folder);
    }
    let changed = |folder: &PathBuf| fs::metadata(folder).and_then(|facts| facts.modified()).ok();
    let folders = fs::read_dir(&snapshots)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    folders.filter(|folder| folder.is_dir()).max_by_key(changed)
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn repository(cache: &Path, folder: &str, main: &str, commits: &[&str]) {
        let root = cache.join(folder);
        fs::create_dir_all(root.join("refs")).unwrap();
        fs::write(root.join("refs/main"), main).unwrap();
        for commit in commits {
            fs::create_dir_all(root.join("snapshots").join(commit)).unwrap();
            fs::write(
                root.join("snapshots").join(commit).join("config.json"),
                "{}",
            )
            .unwrap();
        }
    }

    #[test]
    fn the_main_branch_names_the_snapshot() {
        let cache = tempfile::tempdir().unwrap();
        repository(
            cache.path(),
            "models--Qwen--Qwen3-0.6B",
            "aaaaaaaaaa\n",
            &["aaaaaaaaaa", "bbbbbbbbbb"],
        );
        repository(
            cache.path(),
            "datasets--org--set",
            "aaaaaaaaaa",
            &["aaaaaaaaaa"],
        );
        let found = models_in(cache.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "Qwen/Qwen3-0.6B");
        assert!(found[0].1.ends_with("snapshots/aaaaaaaaaa"));
    }

    /// A repository of GGUF files is one model for each.
    #[test]
    fn gguf_files_are_models_of_their_own() {
        let cache = tempfile::tempdir().unwrap();
        repository(
            cache.path(),
            "models--Qwen--Qwen3-0.6B-GGUF",
            "aaaaaaaaaa",
            &["aaaaaaaaaa"],
        );
        let folder = cache
            .path()
            .join("models--Qwen--Qwen3-0.6B-GGUF/snapshots/aaaaaaaaaa");
        for name in [
            "b-Q8_0.gguf",
            "a-Q4_K_M.gguf",
            "big-00001-of-00002.gguf",
            "mmproj-f16.gguf",
        ] {
            fs::write(folder.join(name), "GGUF").unwrap();
        }
        let found = models_in(cache.path());
        let ids: Vec<_> = found.iter().map(|(id, _)| id.as_str()).collect();
        let repository = "Qwen/Qwen3-0.6B-GGUF";
        assert_eq!(
            ids,
            ["a-Q4_K_M.gguf", "b-Q8_0.gguf"].map(|name| format!("{repository}/{name}"))
        );
        assert!(found[0].1.ends_with("a-Q4_K_M.gguf"));
        // Beside safetensors they are the same model in other types.
        fs::write(folder.join("model.safetensors"), "").unwrap();
        assert_eq!(models_in(cache.path()).len(), 1);
    }

    /// A ref is a file anybody may have written; its content must not lead out of the cache.
    #[test]
    fn a_ref_that_is_no_commit_leads_nowhere() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir(cache.path().join("secret")).unwrap();
        fs::write(cache.path().join("secret/config.json"), "{}").unwrap();
        repository(cache.path(), "models--a--b", "../../secret", &[]);
        assert_eq!(models_in(cache.path()), []);
    }

    #[test]
    fn a_cache_that_is_not_there_holds_nothing() {
        assert_eq!(models_in(Path::new("/nowhere/at/all")), []);
    }
}
