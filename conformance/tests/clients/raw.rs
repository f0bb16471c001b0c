//! A client by hand: an upload that the server's death interrupted goes on at the offset, and no byte is sent twice.

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::{Connection, Request},
    image::{digest, noise},
    registry::path_of,
    resume,
};

use super::world::{LARGE, World};

#[test]
fn an_upload_goes_on_at_its_offset_after_the_server_was_killed_between_chunks() -> Outcome<()> {
    let mut world = World::new()?;
    let registry = world.registry();
    let bytes = noise(1, LARGE);
    let location = registry.begin_upload("admin/app")?;
    let half = LARGE / 2;
    let answer = registry.append(&location, 0, &bytes[..half])?.expect(202)?;
    let location = answer.required("location")?;
    world.server.kill_and_start()?;
    // An acknowledged chunk is durable (I4): not one byte of it is asked for again.
    let (location, held) = registry.status(location)?;
    holds(held == half, || format!("{half} bytes were acknowledged and {held} are held"))?;
    let answer = registry.append(&location, half, &bytes[half..])?.expect(202)?;
    registry.finish(answer.required("location")?, &digest(&bytes), b"")?.expect(201)?;
    registry.check_blob("admin/app", &digest(&bytes))?;
    Ok(())
}

#[test]
fn an_upload_goes_on_at_its_offset_after_the_server_was_killed_within_a_chunk() -> Outcome<()> {
    let mut world = World::new()?;
    let registry = world.registry();
    let bytes = noise(2, LARGE);
    let location = registry.begin_upload("admin/app")?;
    let half = LARGE / 2;
    let answer = registry.append(&location, 0, &bytes[..half])?.expect(202)?;
    let location = answer.required("location")?;
    interrupt(&mut world, location, half, &bytes)?;
    // Whatever of the second chunk was kept, it begins where the first ended, and the client goes on from there.
    let (location, held) = registry.status(location)?;
    holds((half..LARGE).contains(&held), || format!("{held} bytes are held after {half} were acknowledged"))?;
    let answer = registry.append(&location, held, &bytes[held..])?.expect(202)?;
    registry.finish(answer.required("location")?, &digest(&bytes), b"")?.expect(201)?;
    registry.check_blob("admin/app", &digest(&bytes))?;
    Ok(())
}

#[test]
fn an_upload_goes_on_behind_what_became_durable_within_one_request() -> Outcome<()> {
    resume::within_a_request(&mut World::new()?.server, "admin/app").map(drop)
}

/// Sends half of the chunk that begins at `start`, and kills the server before the rest.
fn interrupt(world: &mut World, location: &str, start: usize, bytes: &[u8]) -> Outcome<()> {
    let scope = "repository:admin/app:pull,push";
    let request = Request::new("PATCH", path_of(location))
        .header("Authorization", world.server.admin().authorization(&[scope])?)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", (bytes.len() - start).to_string())
        .header("Content-Range", format!("{start}-{}", bytes.len() - 1));
    let mut connection = Connection::open(world.server.port())?;
    connection.send_head(&request)?;
    connection.write(&bytes[start..start + (bytes.len() - start) / 2])?;
    world.server.kill_and_start()
}
