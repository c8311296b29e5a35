//! From the simulator's dicts and words to the mirror core's values. What is missing or makes no sense is `EngineInvalidError`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use twindisk_runtime::invalid;
use twindisk_runtime::mirror::{AttachPlan, Command, Facts, Serial, SharedRecord};

use crate::{arguments, errors};

pub(super) fn wrong(what: &str) -> PyErr {
    Python::attach(|py| errors::exception(py, invalid(what)))
}

pub(super) fn serial_of(digits: &str) -> PyResult<Serial> {
    parsed(arguments::serial(digits))
}

pub(super) fn parsed<T>(argument: Result<T, twindisk_runtime::EngineError>) -> PyResult<T> {
    argument.map_err(|error| Python::attach(|py| errors::exception(py, error)))
}

/// A required member of a dict.
pub(super) fn get<'py, T: FromPyObjectOwned<'py>>(
    dict: &Bound<'py, PyDict>,
    key: &str,
) -> PyResult<T> {
    let value = dict.get_item(key)?.ok_or_else(|| wrong(key))?;
    value.extract().map_err(|_| wrong(key))
}

pub(super) fn shared_from(dict: &Bound<'_, PyDict>) -> PyResult<SharedRecord> {
    let bytes = get::<Vec<u8>>(dict, "shared")?;
    if bytes.is_empty() {
        return Ok(SharedRecord::default());
    }
    SharedRecord::decode(bytes.into()).ok_or_else(|| wrong("shared"))
}

pub(super) fn facts_from(dict: &Bound<'_, PyDict>) -> PyResult<Facts> {
    Ok(Facts {
        current: get(dict, "current")?,
        base: get(dict, "base")?,
        lineage: get(dict, "lineage")?,
        epoch: get(dict, "epoch")?,
        role: parsed(arguments::role(&get::<String>(dict, "role")?))?,
        inconsistent: get(dict, "inconsistent")?,
        ending: get(dict, "ending")?,
    })
}

pub(super) fn command_of(name: &str, args: &Bound<'_, PyDict>) -> PyResult<Command> {
    Ok(match name {
        "serve_single" => Command::ServeSingle,
        "attach" => Command::Attach(AttachPlan {
            role: parsed(arguments::role(&get::<String>(args, "role")?))?,
            sync: parsed(arguments::sync(&get::<String>(args, "sync")?))?,
            epoch: get(args, "epoch")?,
            generation: get(args, "generation")?,
            local_seq: get(args, "local_seq")?,
            remote_seq: get(args, "remote_seq")?,
        }),
        "go_alone" => Command::GoAlone {
            generation: get(args, "generation")?,
            epoch: get(args, "epoch")?,
            fenced: get(args, "fenced")?,
        },
        "stop_serving" => {
            Command::StopServing(parsed(arguments::state(&get::<String>(args, "state")?))?)
        }
        "leave" => Command::Leave,
        "switch_roles" => Command::SwitchRoles,
        "verify" => Command::Verify {
            repair: get::<Option<String>>(args, "repair")?
                .map(|word| parsed(arguments::role(&word)))
                .transpose()?,
        },
        "end_verify" => Command::EndVerify,
        _ => return Err(wrong("unknown command")),
    })
}
