//! **Duty.** The thin shell of IO around the core: socket, clocks, files, the loop. **Does not know** what an interval
//! means; it drains effects and asks the node. **Spec.** HOUSE §7 rule 3.

mod checkpoint_files;
mod clock;
mod collect_loop;
mod notify;
mod pace;
mod randomness;
mod serve;
mod service;
mod socket;

pub use clock::{Clock, ClockError, SystemClock};
pub use serve::{ServeError, serve, serve_with_clock};
pub use socket::SocketError;
