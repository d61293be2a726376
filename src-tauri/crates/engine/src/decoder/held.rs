//! Several adapters on one base, of which one or none is at work. Their tensors are shared with what
//! computes, so that a change of adapter copies nothing and leaves the base as it is.

use super::Decoder;
use crate::lora::{self, LoraConfig, LoraInit};
use crate::{Error, Result};
use std::path::Path;

impl Decoder {
    /// Reads an adapter in PEFT's layout and holds it under `name`, in place of one of that name.
    /// The adapter at work stays, unless it is the one replaced. Held adapters are frozen: to train
    /// one, load it by [`Decoder::load_adapter`].
    pub fn add_adapter(&mut self, name: &str, folder: &Path) -> Result<LoraConfig> {
        let adapter = lora::load(folder, &self.device)?;
        self.check_fit(&adapter, folder)?;
        if self.active.as_deref() == Some(name) {
            self.freeze()?;
        }
        let config = adapter.config.clone();
        self.held.insert(name.to_owned(), adapter);
        Ok(config)
    }

    /// Computes with the base and the held adapter `name`, as if it alone had been loaded. Any other
    /// adapter is taken off; one that is not held is then gone.
    pub fn activate_adapter(&mut self, name: &str) -> Result<()> {
        let Some(adapter) = self.held.get(name).cloned() else {
            return Err(self.unknown(name));
        };
        if self.active.as_deref() == Some(name) {
            return Ok(());
        }
        self.check_base_whole()?;
        self.put(adapter)?;
        self.active = Some(name.to_owned());
        Ok(())
    }

    /// Computes with the base alone. Held adapters stay held.
    pub fn deactivate_adapter(&mut self) -> Result<()> {
        self.check_base_whole()?;
        self.freeze()
    }

    /// Forgets the held adapter `name`, and takes it off if it is at work.
    pub fn remove_adapter(&mut self, name: &str) -> Result<()> {
        if self.held.remove(name).is_none() {
            return Err(self.unknown(name));
        }
        if self.active.as_deref() == Some(name) {
            self.freeze()?;
        }
        Ok(())
    }

    /// Names of the held adapters.
    pub fn held_adapters(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// The held adapter at work; none where the base is alone or its adapter is not a held one.
    pub fn active_adapter(&self) -> Option<&str> {
        self.active.as_deref()
    }

    /// Refuses to go on where the base lacks what a fresh PiSSA adapter started from: rounding
    /// would not give it back to the bit.
    fn check_base_whole(&self) -> Result<()> {
        match &self.lora {
            Some(config) => check_plain(
                config,
                "an adapter started by PiSSA stands on weights that lack its start; save it and \
                 load it, and it is a plain one that can be changed for another",
            ),
            None => Ok(()),
        }
    }

    /// Refuses a start that takes something out of the base that held adapters stand on.
    pub(super) fn check_beside_held(&self, config: &LoraConfig) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        check_plain(
            config,
            "PiSSA changes the weights that the held adapters stand on; remove those first",
        )
    }

    fn unknown(&self, name: &str) -> Error {
        let held: Vec<&str> = self.held_adapters().collect();
        Error::UnknownAdapter {
            name: name.to_owned(),
            held: if held.is_empty() {
                "none is".to_owned()
            } else {
                format!("these are: {}", held.join(", "))
            },
        }
    }
}

fn check_plain(config: &LoraConfig, reason: &str) -> Result<()> {
    match config.init_lora_weights {
        LoraInit::Default => Ok(()),
        LoraInit::Pissa => Err(Error::BadAdapterSetting {
            setting: "init_lora_weights".to_owned(),
            reason: reason.to_owned(),
        }),
    }
}
