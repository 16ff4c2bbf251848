//! What lies on a new card: 20 logs of 1 byte to 64 KiB.

use arsync_core::tiny::{Meta, Store as _, StoreError};

use crate::card::Card;

/// Length of each log, bytes.
const SIZES: [u32; 20] = [
    1, 2, 16, 31, 100, 255, 256, 257, 512, 699, 700, 701, 1400, 2048, 4096, 5000, 8192, 16_384, 32_768,
    65_536,
];
const TIME: i64 = 1_700_000_000;

/// `log 07 line 000123\n`
const LINE: usize = 19;

fn digits(mut value: u32, out: &mut [u8]) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

pub async fn write_logs(card: &mut Card) -> Result<(), StoreError> {
    card.make_dir(b"log", &Meta::dir(TIME)).await?;
    card.make_dir(b"image", &Meta::dir(TIME)).await?;
    for (log, size) in (0u32..).zip(SIZES) {
        let mut path = *b"log/00.txt";
        digits(log, &mut path[4..6]);
        card.begin(&path, size.into()).await?;
        let mut line = *b"log 00 line 000000\n";
        digits(log, &mut line[4..6]);
        let mut at = 0;
        while at < size {
            digits(at / LINE as u32 + 1, &mut line[12..18]);
            let n = (size - at).min(LINE as u32);
            card.write_at(at.into(), &line[..n as usize]).await?;
            at += n;
        }
        card.commit(&path, &Meta::file(size.into(), TIME + i64::from(log))).await?;
    }
    Ok(())
}
