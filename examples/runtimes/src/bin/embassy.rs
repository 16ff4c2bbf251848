//! On embassy's executor, here the one that runs on a host. On a microcontroller the same task awaits its UART.

use embassy_executor::{Executor, Spawner};

#[embassy_executor::task]
async fn session() {
    let (mut child, from, to) = runtimes::start(&runtimes::path()).expect("rsync is installed");
    runtimes::pull(from, to).await;
    assert!(child.wait().expect("it ends").success());
    // An executor of embassy never ends by itself.
    std::process::exit(0);
}

fn main() -> ! {
    let executor: &'static mut Executor = Box::leak(Box::new(Executor::new()));
    executor.run(|spawner: Spawner| spawner.spawn(session()).expect("the first task"))
}
