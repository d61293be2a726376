//! What NVIDIA's driver says, asked through libcuda where there is one. Nothing is linked: a
//! machine without the driver runs the same program.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::ManuallyDrop;

use super::probe::{CudaDevice, CudaFacts, CudaRefusal};
use libloading::{Library, Symbol};

/// The driver's library, by the name under which the driver installs it.
pub(super) const LIBRARY: &str = "libcuda.so.1";

/// `CUresult`: these mean something of their own here.
pub(super) mod code {
    /// `CUDA_ERROR_OUT_OF_MEMORY`
    pub(crate) const OUT_OF_MEMORY: i32 = 2;
    /// `CUDA_ERROR_DEVICE_UNAVAILABLE`: another process has it, or it is set to compute for none.
    pub(crate) const DEVICE_UNAVAILABLE: i32 = 46;
    /// `CUDA_ERROR_NO_DEVICE`
    pub(crate) const NO_DEVICE: i32 = 100;
    /// `CUDA_ERROR_SYSTEM_DRIVER_MISMATCH`: library and kernel module are of two versions.
    pub(crate) const DRIVER_MISMATCH: i32 = 803;
}

/// `CU_DEVICE_ATTRIBUTE_…`
const INTEGRATED: c_int = 18;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

/// A context is a pointer to us.
type Context = *mut c_void;

/// Asks the driver; no memory is kept on the device.
pub(super) fn ask() -> Result<CudaFacts, CudaRefusal> {
    // SAFETY: libcuda may be opened at any time; its start-up code is made for it.
    let library = unsafe { Library::new(LIBRARY) }.map_err(|_| CudaRefusal::NoLibrary)?;
    // The driver keeps threads of its own: its code must stay where it is.
    let library = ManuallyDrop::new(library);
    let driver = Driver(&library);
    driver.init()?;
    let version = driver.number(b"cuDriverGetVersion\0")? as u32;
    let device = match driver.number(b"cuDeviceGetCount\0")? {
        0 => None,
        _ => Some(driver.first_device()?),
    };
    Ok(CudaFacts { version, device })
}

/// The functions of libcuda, as cuda.h declares them.
struct Driver<'a>(&'a Library);

impl Driver<'_> {
    /// The function of that name.
    ///
    /// # Safety
    /// `F` is its type in cuda.h.
    unsafe fn function<F>(&self, name: &[u8]) -> Result<Symbol<'_, F>, CudaRefusal> {
        // SAFETY: the caller's.
        unsafe { self.0.get(name) }.map_err(|_| CudaRefusal::NoLibrary)
    }

    fn init(&self) -> Result<(), CudaRefusal> {
        // SAFETY: CUresult cuInit(unsigned int), whose argument must be 0.
        unsafe {
            let init = self.function::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit\0")?;
            done(init(0))
        }
    }

    /// What a function writes that takes nothing but where to.
    fn number(&self, name: &[u8]) -> Result<c_int, CudaRefusal> {
        let mut value = 0;
        // SAFETY: both callers' functions are CUresult f(int *).
        unsafe {
            let ask = self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>(name)?;
            done(ask(&raw mut value))?;
        }
        Ok(value)
    }

    fn first_device(&self) -> Result<CudaDevice, CudaRefusal> {
        let mut device: c_int = 0;
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: CUresult cuDeviceGet(CUdevice *, int), CUdevice being an int;
        // CUresult cuDeviceGetName(char *, int, CUdevice), which ends the name with a zero.
        unsafe {
            let get = self
                .function::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0")?;
            done(get(&raw mut device, 0))?;
            let get_name = self
                .function::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(
                    b"cuDeviceGetName\0",
                )?;
            done(get_name(name.as_mut_ptr(), 255, device))?;
        }
        // SAFETY: the last element was never written and is zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(CudaDevice {
            name: name.to_string_lossy().into_owned(),
            capability: (
                self.attribute(CAPABILITY_MAJOR, device)?,
                self.attribute(CAPABILITY_MINOR, device)?,
            ),
            integrated: self.attribute(INTEGRATED, device)? != 0,
            memory: self.memory(device),
        })
    }

    fn attribute(&self, attribute: c_int, device: c_int) -> Result<c_int, CudaRefusal> {
        let mut value = 0;
        // SAFETY: CUresult cuDeviceGetAttribute(int *, CUdevice_attribute, CUdevice).
        unsafe {
            let ask = self.function::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(
                b"cuDeviceGetAttribute\0",
            )?;
            done(ask(&raw mut value, attribute, device))?;
        }
        Ok(value)
    }

    /// Free and in all. Asking takes a context, which a busy or full device refuses.
    fn memory(&self, device: c_int) -> Result<(u64, u64), CudaRefusal> {
        let mut context: Context = std::ptr::null_mut();
        let (mut free, mut total) = (0_usize, 0_usize);
        // SAFETY: CUresult cuDevicePrimaryCtxRetain(CUcontext *, CUdevice),
        // cuCtxPushCurrent(CUcontext), cuMemGetInfo(size_t *, size_t *), cuCtxPopCurrent(CUcontext
        // *), cuDevicePrimaryCtxRelease(CUdevice). What is retained is released, what is pushed is
        // popped, on this thread.
        unsafe {
            let retain = self.function::<unsafe extern "C" fn(*mut Context, c_int) -> c_int>(
                b"cuDevicePrimaryCtxRetain\0",
            )?;
            let release = self.function::<unsafe extern "C" fn(c_int) -> c_int>(
                b"cuDevicePrimaryCtxRelease_v2\0",
            )?;
            let push =
                self.function::<unsafe extern "C" fn(Context) -> c_int>(b"cuCtxPushCurrent_v2\0")?;
            let pop = self
                .function::<unsafe extern "C" fn(*mut Context) -> c_int>(b"cuCtxPopCurrent_v2\0")?;
            let ask = self.function::<unsafe extern "C" fn(*mut usize, *mut usize) -> c_int>(
                b"cuMemGetInfo_v2\0",
            )?;
            done(retain(&raw mut context, device))?;
            let answer = done(push(context)).and_then(|()| {
                let answer = done(ask(&raw mut free, &raw mut total));
                done(pop(&raw mut context)).and(answer)
            });
            done(release(device)).and(answer)?;
        }
        Ok((free as u64, total as u64))
    }
}

fn done(result: c_int) -> Result<(), CudaRefusal> {
    match result {
        0 => Ok(()),
        code => Err(CudaRefusal::Code(code)),
    }
}
