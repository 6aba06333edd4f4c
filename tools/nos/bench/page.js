const rows = [...document.querySelectorAll('.row:not(.head)')];
document.querySelector('#filter').addEventListener('input', event => {
	const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
	for (const row of rows)
		row.hidden = !words.every(word => row.dataset.name.includes(word));
	for (const block of document.querySelectorAll('.suite'))
		block.hidden = [...block.querySelectorAll('.row:not(.head)')].every(row => row.hidden);
});
let sorted = false;
document.querySelector('#sort').addEventListener('click', event => {
	sorted = !sorted;
	event.target.textContent = sorted ? 'As listed' : 'Worst first';
	for (const box of document.querySelectorAll('.rows')) {
		const own = [...box.querySelectorAll('.row:not(.head)')];
		own.sort((a, b) => sorted ? b.dataset.ratio - a.dataset.ratio : a.dataset.at - b.dataset.at);
		box.append(...own);
	}
});
document.querySelector('#theme').addEventListener('click', () => {
	const root = document.documentElement;
	const dark = root.dataset.theme ? root.dataset.theme === 'dark'
		: matchMedia('(prefers-color-scheme: dark)').matches;
	root.dataset.theme = dark ? 'light' : 'dark';
});
