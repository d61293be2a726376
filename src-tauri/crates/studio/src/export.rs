//! Taking a result away: an adapter in PEFT layout, or a merged model.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Studio;
use crate::api::{Export, ExportDtype, ExportFormat, ExportRequest, JobKind, Session};
use crate::error::{Error, Result};
use crate::files::{PendingFolder, folder_size, require_space};
use crate::jobs;
use crate::settings::to_yaml;
use crate::weights::{Files, load_decoder};
use attune_engine::{DType, Device, ModelSpec};

/// Writes the folder of the request, as a job.
pub(crate) fn export(
    studio: &Studio,
    request: ExportRequest,
    session: &mut Session<'_>,
) -> Result<Export> {
    let files = Files::find(studio, &request.weights)?;
    let folder = std::path::absolute(&request.folder)
        .map_err(|source| Error::file("use", &request.folder, &source))?;
    refuse_occupied(&folder, request.overwrite)?;
    let subject = folder.display().to_string();
    jobs::run(studio, JobKind::Export, &subject, session, |session| {
        write(&request, &files, folder, session)
    })
}

fn write(
    request: &ExportRequest,
    files: &Files,
    folder: PathBuf,
    session: &mut Session<'_>,
) -> Result<Export> {
    let pending = PendingFolder::new(&folder)?;
    match request.format {
        ExportFormat::Adapter => write_adapter(files, pending.path())?,
        ExportFormat::Merged => write_merged(files, request.dtype, pending.path(), session)?,
    }
    crate::files::write(
        &pending.path().join("README.md"),
        card(files, request.format)?.as_bytes(),
    )?;
    session.check()?;
    let folder = pending.finish(request.overwrite)?;
    Ok(Export {
        files: names(&folder)?,
        bytes: folder_size(&folder),
        folder,
        format: request.format,
    })
}

fn refuse_occupied(folder: &Path, overwrite: bool) -> Result<()> {
    let occupied = if folder.is_dir() {
        fs::read_dir(folder)
            .map_err(|source| Error::file("read the folder", folder, &source))?
            .next()
            .is_some()
    } else {
        folder.exists()
    };
    if folder.is_file() || (occupied && !overwrite) {
        return Err(Error::new(
            "export-occupied",
            format!("{} is not empty", folder.display()),
        )
        .with_remedy("Choose another folder, or allow it to be overwritten with `--overwrite`.")
        .with_place(folder.display().to_string()));
    }
    // Asked to overwrite, it replaces models and adapters, never somebody's documents.
    let known = ["config.json", "adapter_config.json"]
        .iter()
        .any(|name| folder.join(name).is_file());
    if occupied && !known {
        return Err(Error::new(
            "export-not-a-model",
            format!("{} holds something else than a model", folder.display()),
        )
        .with_remedy("Choose another folder.")
        .with_place(folder.display().to_string()));
    }
    Ok(())
}

/// A checkpoint holds the adapter beside the optimiser; only the adapter leaves.
fn write_adapter(files: &Files, folder: &Path) -> Result<()> {
    let adapter = files.adapter.as_ref().ok_or_else(|| {
        Error::new(
            "export-no-adapter",
            format!("{} has no adapter", files.name),
        )
        .with_remedy("Export it merged: `--format merged`.")
    })?;
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let (from, to) = (adapter.join(name), folder.join(name));
        fs::copy(&from, &to).map_err(|source| Error::file("copy", &from, &source))?;
    }
    Ok(())
}

fn write_merged(
    files: &Files,
    dtype: Option<ExportDtype>,
    folder: &Path,
    session: &mut Session<'_>,
) -> Result<()> {
    let dtype = match dtype {
        Some(ExportDtype::Float32) => DType::F32,
        Some(ExportDtype::Bfloat16) => DType::BF16,
        Some(ExportDtype::Float16) => DType::F16,
        None => crate::models::dtype(&files.model)?,
    };
    let weights = ModelSpec::from_folder(&files.base)?.parameter_count();
    let bytes = weights * dtype.size_in_bytes() as u64;
    require_space(folder, bytes, "the merged model")?;
    let mut decoder = load_decoder(&files.base, &files.name, DType::F32, &Device::Cpu, session)?;
    if let Some(adapter) = &files.adapter {
        decoder.load_adapter(adapter)?;
    }
    session.check()?;
    // The engine makes the folder itself; it is then moved up, so that one rename publishes all.
    let inner = folder.join("model");
    decoder.save_folder(&inner, dtype, Some(&files.model))?;
    let refuse = |source: std::io::Error| Error::file("write", folder, &source);
    for entry in fs::read_dir(&inner).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        fs::rename(entry.path(), folder.join(entry.file_name())).map_err(refuse)?;
    }
    fs::remove_dir(&inner).map_err(refuse)
}

/// What is in the folder, where it comes from and how to use it.
fn card(files: &Files, format: ExportFormat) -> Result<String> {
    let base = files
        .model
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (kind, library, usage) = match format {
        ExportFormat::Adapter => (
            "An adapter (LoRA) in PEFT layout",
            "peft",
            "model = AutoModelForCausalLM.from_pretrained(\"<base model>\")\n\
             model = PeftModel.from_pretrained(model, \"<this folder>\")",
        ),
        ExportFormat::Merged => (
            "A whole model; a tuned adapter is merged in",
            "transformers",
            "model = AutoModelForCausalLM.from_pretrained(\"<this folder>\")",
        ),
    };
    let settings = match &files.config {
        Some(config) => format!(
            "\n## Settings of the run\n\n```yaml\n{}```\n",
            to_yaml(config)?
        ),
        None => String::new(),
    };
    Ok(format!(
        "---\nlibrary_name: {library}\ntags:\n- attune\n---\n\n# {name}\n\n{kind}, written by Attune {version}.\n\n\
         Base model: {base}. Its licence applies to what is made from it.\n\n\
         ## Use\n\n```python\n{usage}\n```\n{settings}",
        name = files.name,
        version = env!("CARGO_PKG_VERSION"),
    ))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).map_err(|source| Error::file("read the folder", folder, &source))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_folder_with_content_is_refused_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        refuse_occupied(folder.path(), false).unwrap();
        fs::write(folder.path().join("mine"), "1").unwrap();
        assert_eq!(
            refuse_occupied(folder.path(), false).unwrap_err().code,
            "export-occupied"
        );
        assert_eq!(
            refuse_occupied(folder.path(), true).unwrap_err().code,
            "export-not-a-model"
        );
        fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
        refuse_occupied(folder.path(), true).unwrap();
        assert!(
            refuse_occupied(&folder.path().join("mine"), true).is_err(),
            "a file is never replaced"
        );
    }
}
