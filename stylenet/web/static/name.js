async () => {
  // A name that survives a reload, and that no other tab has: a tab that was duplicated brings along the name of the first.
  const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const channel = new BroadcastChannel("stylenet");
  const isTaken = (name) =>
    new Promise((resolve) => {
      channel.onmessage = ({ data }) => data === `taken ${name}` && resolve(true);
      channel.postMessage(`asked ${name}`);
      setTimeout(resolve, 200, false);
    });
  const kept = sessionStorage.stylenet;
  const name = kept && !(await isTaken(kept)) ? kept : fresh();
  sessionStorage.stylenet = name;
  channel.onmessage = ({ data }) => data === `asked ${name}` && channel.postMessage(`taken ${name}`);
  return name;
}
