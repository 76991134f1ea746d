// A value that is edited where it stands: press it, type, Enter. Escape keeps what was; leaving the field saves what was typed.
import { useLayoutEffect, useRef, useState } from "../vendor/hooks.mjs";
import { html } from "../ui.js";

/** `check` gives what is wrong with a text, "" when nothing is; `onSave` gets the text and rejects with the words to show. */
export function InPlace({ value, label, check, onSave, inputmode, children, ...rest }) {
  const [text, setText] = useState(null); // null: it is only shown.
  const [wrong, setWrong] = useState("");
  const button = useRef(null);
  const input = useRef(null);
  const busy = useRef(false);
  const returns = useRef(false); // Where the field goes, its focus goes to the button, not to nowhere.
  useLayoutEffect(() => {
    if (text !== null) input.current.select();
    else if (returns.current) button.current.focus();
    returns.current = false;
  }, [text === null]);
  const close = (focused) => {
    returns.current = focused;
    setWrong("");
    setText(null);
  };
  const save = async (focused) => {
    if (busy.current) return;
    const typed = text.trim();
    if (typed === String(value)) return close(focused);
    const problem = check(typed);
    if (problem) return setWrong(problem);
    busy.current = true;
    try {
      await onSave(typed);
      close(focused && document.activeElement === input.current);
    } catch (error) {
      setWrong(error.message);
    }
    busy.current = false;
  };
  const onKeyDown = (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation(); // Escape means this field, not the view.
    if (event.key === "Enter") save(true);
    else close(true);
  };
  if (text === null) return html`<button ref=${button} type="button" ...${rest} class=${`in-place ${rest.class || ""}`} aria-label=${label} title=${label} onClick=${() => setText(String(value))}>${children}</button>`;
  return html`<span class="in-place-edit"><input ref=${input} class="input small" size="1" aria-label=${label} aria-invalid=${wrong ? "true" : null} inputmode=${inputmode} spellcheck=${false} autocapitalize="off" autocomplete="off" value=${text}
    onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${onKeyDown} onBlur=${() => !returns.current && save(false)} />${wrong ? html`<span class="xs bad" role="alert">${wrong}</span>` : null}</span>`;
}
