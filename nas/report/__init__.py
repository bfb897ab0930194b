"""One offline page about a run: `reporting.py` is the story, `facts.py` the numbers, `plots.py` and `drawing.py` the pictures,
`page.html`, `page.css` and `page.js` the page."""
