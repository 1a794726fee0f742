"""What a run would do and cost, in the words of the Propagate tab; all figures are the engine's."""

from __future__ import annotations

import html

from app.session import Session
from engine import Estimate, PaceBook, acts, estimate_of, estimate_sentences, preview_sentence


def of_project(session: Session) -> str:
    """Of the project as it is; what will not fit stands first, the preview at the end."""
    estimate = session.review.estimate(session.material, session.instant)
    return _told(estimate, preview_sentence(session.material) if estimate.render else "")


def of_method(session: Session, name: str) -> str:
    """Of the project if its edit were made by another method, as that is set when nobody has touched it."""
    edit = session.editor.project.edit
    if name == edit.method:
        return of_project(session)
    material = session.material.working_on(acts.set_edit(session.editor.project, method=name, config={}))
    return _told(estimate_of(material, PaceBook()), "")


def _told(estimate: Estimate, preview: str) -> str:
    trouble = f'<div class="al-trouble" role="alert">{html.escape(estimate.trouble)}</div>' if estimate.trouble else ""
    lines = "<br>".join(html.escape(line) for line in [*estimate_sentences(estimate), preview] if line)
    return f'{trouble}<div class="al-facts" id="estimate">{lines}</div>'
